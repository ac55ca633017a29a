"""Who or what made a label, from which model and on what predecessor; how a SEG or an SR object says so.

In a SEG:

| fact | where it stands in the object |
|---|---|
| algorithm type | SegmentAlgorithmType of every segment |
| task | SegmentAlgorithmName `carina <task>`, and ContentDescription, which manual objects have too |
| model version, hash | SegmentationAlgorithmIdentificationSequence: AlgorithmVersion, AlgorithmParameters |
| software version | SoftwareVersions |
| user | ContentCreatorName |
| when | ContentDate and ContentTime, in the local time of the machine that wrote it |
| that carina made it | Manufacturer and ManufacturerModelName `carina`, and the prefix of ContentDescription |
| predecessor | SourceImageSequence, purpose (121322, DCM); its series is in ReferencedSeriesSequence |

PredecessorDocumentsSequence belongs to SR documents alone; a SEG is an image, and the instances an image was derived
from stand in SourceImageSequence (General Reference Module, PS3.3 C.12.4) with a purpose of reference (CID 7202).

In an SR document (TID 1500) task and version of software stand where a SEG has them, but for SeriesDescription in
place of ContentDescription. Model version and hash are the Algorithm Identification (TID 4019) of what the model said,
the user is the person among the observers (TID 1001), and carina the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from .. import __version__
from ..errors import DicomError
from ..labels import Code
from .codes import concept, first_code, same_concept

DocumentKind = Literal["SEG", "SR"]
"""What a finished result is written as; the object's modality."""
AlgorithmType = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]

MANUFACTURER = "carina"
_ALGORITHM_PREFIX = "carina "
_HASH_PARAMETER = "model_sha256"
_DERIVED_FROM = Code("121322", "DCM", "Source image for image processing operation")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a label map, or what was said of an image, comes from.

    Attributes:
        algorithm_type: AUTOMATIC for a draft, SEMIAUTOMATIC for a corrected draft, MANUAL for one drawn by hand.
        task: Task name.
        model_version: Version of the model that made the draft; None for MANUAL.
        model_sha256: Hash of its weights.
        user: Who edited it, or asked for it; becomes ContentCreatorName, or an SR's person observer.

    Raises:
        DicomError: If the algorithm type is not one of the standard's.
    """

    algorithm_type: AlgorithmType
    task: str
    model_version: str | None = None
    model_sha256: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        if self.algorithm_type not in get_args(AlgorithmType):
            raise DicomError(
                f"An algorithm type must be one of {', '.join(get_args(AlgorithmType))}, got {self.algorithm_type!r}."
            )


@dataclass(frozen=True, kw_only=True)
class ObjectReference:
    """A SEG or SR object that another one was derived from, or follows."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str = str(SegmentationStorage)


def algorithm_identification(provenance: Provenance) -> hd.AlgorithmIdentificationSequence | None:
    """The algorithm for every segment's description; None for MANUAL."""
    if provenance.algorithm_type == "MANUAL":
        return None
    return hd.AlgorithmIdentificationSequence(
        name=content_description(provenance),
        family=codes.DCM.ArtificialIntelligence,
        version=_algorithm_version(provenance),
        source=MANUFACTURER,
        parameters={_HASH_PARAMETER: provenance.model_sha256} if provenance.model_sha256 else None,
    )


def algorithm_content(provenance: Provenance) -> hd.sr.AlgorithmIdentification | None:
    """The algorithm as content items of an SR document (PS3.16 TID 4019); None for MANUAL."""
    if provenance.algorithm_type == "MANUAL":
        return None
    return hd.sr.AlgorithmIdentification(
        name=content_description(provenance),
        version=_algorithm_version(provenance),
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
        parameters=[f"{_HASH_PARAMETER}='{provenance.model_sha256}'"] if provenance.model_sha256 else None,
    )


def algorithm_in(measurement: hd.sr.Measurement) -> Provenance:
    """What `algorithm_content` wrote, from the measurement that it is part of; missing facts are None."""
    texts = {
        str(item.ConceptNameCodeSequence[0].CodeValue): str(item.TextValue)
        for item in measurement[0].get("ContentSequence") or ()
        if item.ValueType == "TEXT"
    }
    return Provenance(
        algorithm_type="AUTOMATIC",
        task=task_in(texts.get(codes.DCM.AlgorithmName.value, "")),
        model_version=texts.get(codes.DCM.AlgorithmVersion.value),
        model_sha256=model_hash_in(texts.get(codes.DCM.AlgorithmParameters.value, "")),
    )


def content_description(provenance: Provenance) -> str:
    """ContentDescription of a SEG and SeriesDescription of both, which name the task in every kind of object."""
    return (_ALGORITHM_PREFIX + provenance.task)[:64]


def person_name(provenance: Provenance) -> str | None:
    """The user as a DICOM person name: a family name, unless it is a person name already (PS3.5 6.2.1)."""
    if not provenance.user:
        return None
    name = provenance.user.replace("\\", " ").replace("=", " ")[:62]
    return name if "^" in name else f"{name}^"


def read_provenance(dataset: Dataset) -> Provenance:
    """What a SEG object, ours or another's, says about its origin.

    Args:
        dataset: With at least one segment besides the background of a LABELMAP object.

    Returns:
        Missing facts are None, a missing task is empty; segments of several algorithm types make SEMIAUTOMATIC.
    """
    segments = [segment for segment in dataset.SegmentSequence if segment.SegmentNumber != 0]
    types = {str(segment.get("SegmentAlgorithmType", "MANUAL")) for segment in segments}
    known = types <= set(get_args(AlgorithmType))
    algorithm_type = cast(AlgorithmType, types.pop()) if len(types) == 1 and known else "SEMIAUTOMATIC"
    task = task_in(str(dataset.get("ContentDescription") or ""))
    version = sha256 = None
    if segments and segments[0].get("SegmentationAlgorithmIdentificationSequence"):
        algorithm = segments[0].SegmentationAlgorithmIdentificationSequence[0]
        task = task_in(str(algorithm.get("AlgorithmName", ""))) or task
        version = str(algorithm.get("AlgorithmVersion", "")) or None
        sha256 = model_hash_in(str(algorithm.get("AlgorithmParameters") or ""))
    user = str(dataset.get("ContentCreatorName") or "").rstrip("^") or None
    return Provenance(algorithm_type=algorithm_type, task=task, model_version=version, model_sha256=sha256, user=user)


def made_by_carina(dataset: Dataset) -> bool:
    """Whether an object carries carina's own provenance; another maker's object that was derived from one does not."""
    description = dataset.get("SeriesDescription" if dataset.get("Modality") == "SR" else "ContentDescription")
    return (
        dataset.get("Manufacturer") == MANUFACTURER
        and dataset.get("ManufacturerModelName") == MANUFACTURER
        and str(description or "").startswith(_ALGORITHM_PREFIX.strip())
    )


def state_content_time(dataset: Dataset, made: datetime) -> None:
    """State when the label was made, which may be long before the object was written.

    Args:
        dataset: Changed in place.
        made: Aware.
    """
    local = made.astimezone()
    dataset.ContentDate, dataset.ContentTime = local.strftime("%Y%m%d"), local.strftime("%H%M%S.%f")


def read_content_time(dataset: Dataset) -> datetime | None:
    """When a label was made, aware; None if the object does not say. Minutes and seconds may be missing (PS3.5 6.2).

    Times without TimezoneOffsetFromUTC are taken for this machine's (PS3.3 C.12.1.1.8 leaves it open).
    """
    day, clock = str(dataset.get("ContentDate") or ""), str(dataset.get("ContentTime") or "")
    zone = str(dataset.get("TimezoneOffsetFromUTC") or "")
    whole, _, fraction = clock.partition(".")
    if len(whole) not in (2, 4, 6):
        return None
    try:
        made = datetime.strptime(f"{day}{whole:0<6}.{fraction or 0}{zone}", "%Y%m%d%H%M%S.%f" + ("%z" if zone else ""))
    except ValueError:
        return None
    return made.astimezone()


def add_predecessor(dataset: Dataset, predecessor: ObjectReference) -> None:
    """State in `dataset`, a SEG object, what it was derived from."""
    source = _reference(predecessor)
    source.PurposeOfReferenceCodeSequence = DicomSequence([concept(_DERIVED_FROM)])
    dataset.SourceImageSequence = DicomSequence([source])
    series = Dataset()
    series.SeriesInstanceUID = predecessor.series_instance_uid
    series.ReferencedInstanceSequence = DicomSequence([_reference(predecessor)])
    dataset.ReferencedSeriesSequence.append(series)


def read_predecessor(dataset: Dataset) -> ObjectReference | None:
    """The predecessor a SEG object states, or None."""
    for item in dataset.get("SourceImageSequence") or ():
        if not same_concept(first_code(item, "PurposeOfReferenceCodeSequence"), _DERIVED_FROM):
            continue
        uid = str(item.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or ():
            referenced = {str(instance.ReferencedSOPInstanceUID) for instance in series.ReferencedInstanceSequence}
            if uid in referenced:
                return ObjectReference(
                    sop_instance_uid=uid,
                    series_instance_uid=str(series.SeriesInstanceUID),
                    sop_class_uid=str(item.ReferencedSOPClassUID),
                )
    return None


def _reference(predecessor: ObjectReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = predecessor.sop_class_uid
    item.ReferencedSOPInstanceUID = predecessor.sop_instance_uid
    return item


def _algorithm_version(provenance: Provenance) -> str:
    return (provenance.model_version or __version__)[:64]


def task_in(text: str) -> str:
    """The task that `content_description` wrote; empty if it did not write this."""
    return text.removeprefix(_ALGORITHM_PREFIX) if text.startswith(_ALGORITHM_PREFIX) else ""


def model_hash_in(text: str) -> str | None:
    """The hash of the weights in an algorithm's parameters, if it is there."""
    return _parameter(text, _HASH_PARAMETER)


def _parameter(text: str, name: str) -> str | None:
    """One value of AlgorithmParameters, written `name='value'` and separated by commas."""
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value.strip("'\"")
    return None
