"""Writing what was said of an image as a DICOM SR document, a Measurement Report (TID 1500).

Enhanced SR (PS3.3 A.35.2) is the smallest class that holds coded answers, numbers and references to images. What was
said of a part of an image needs coordinates in the patient, which Comprehensive 3D SR (PS3.3 A.35.13) is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import highdicom as hd
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, ExplicitVRLittleEndian, generate_uid

from .. import __version__
from ..errors import DicomError
from ..labels import Code
from ..measurements import Measurement
from ..regions import Place
from ..task import PROJECTIONS
from .codes import concept, first_code
from .headers import derived_series_number, has_position, plain_object, restore_person_names, source_headers
from .provenance import (
    MANUFACTURER,
    ObjectReference,
    Provenance,
    algorithm_content,
    content_description,
    person_name,
)
from .report_text import place_text, report_text
from .series import Series
from .sr_content import ReportedFinding, measured_groups, measurement_group
from .sr_place import Group, image_place

UNNAMED = "unnamed^"
"""The person observer of a document whose person gave no name: TID 1003 wants one."""

_SERIES_NUMBER_OFFSET = 2000
_PLAIN_RADIOGRAPHY = Code("168537006", "SCT", "Plain radiography")
_IMAGING = Code("363679005", "SCT", "Imaging procedure")


def sop_class_of_findings(*, at_place: bool) -> str:
    """The SOP Class of the document of findings, of a part of an image or of all of it."""
    return str(Comprehensive3DSRStorage if at_place else EnhancedSRStorage)


def write_findings(
    findings: Sequence[ReportedFinding],
    series: Series,
    *,
    provenance: Provenance,
    complete: bool = False,
    final: bool = True,
    sop_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    predecessor: ObjectReference | None = None,
    measurements: Sequence[Measurement] = (),
    segmentations: Mapping[str, ObjectReference] = MappingProxyType({}),
    place: Place | None = None,
) -> FileDataset:
    """Make an SR document of what was said of an image.

    Nobody verifies it in the sense of PS3.3 C.17.2: carina knows a reader's name, and not who that is. So it is
    UNVERIFIED, always.

    Args:
        findings: At least one.
        series: The image.
        provenance: Who says so: MANUAL is a person alone, SEMIAUTOMATIC a person after a model, AUTOMATIC a model.
        complete: Whether every finding of the task is answered, "unsure" included.
        final: Whether it is a person's finished work.
        sop_instance_uid: Given again on a retry, so that the PACS gets one object; a new one by default.
        series_instance_uid: Series of the document; a new one by default.
        predecessor: The SR document of the version before, of the same study.
        measurements: What tasks' drawings of the image gave.
        segmentations: Task → the SEG in the same study that holds its drawing, where there is one.
        place: The part of the image that all findings are about, on the series' grid; None for all of it.

    Returns:
        The object, explicit VR little endian, ready for `save_as`.

    Raises:
        DicomError: If there are no findings, or the series is not valid enough to derive an object from.
    """
    if not findings:
        raise DicomError("A report must hold at least one finding, got none.")
    sources = source_headers(series)
    seen = None if place is None else place_text(place, series.volume.grid, in_patient=has_position(series))
    text = report_text(findings, provenance=provenance, measurements=measurements, place=seen)
    try:
        where = None if place is None else image_place(place, series, headers=sources)
        algorithm = algorithm_content(provenance)
        groups = [
            *(measurement_group(one, algorithm=algorithm, images=sources, place=where) for one in findings),
            *measured_groups(measurements, images=sources, segmentations=segmentations),
        ]
        document = (hd.sr.EnhancedSR if where is None else hd.sr.Comprehensive3DSR)(
            evidence=[*sources, *(_in_study(one, series) for one in segmentations.values())],
            content=_content(groups, sources, provenance=provenance, text=text),
            series_instance_uid=series_instance_uid or generate_uid(),
            series_number=derived_series_number(sources[0], offset=_SERIES_NUMBER_OFFSET),
            sop_instance_uid=sop_instance_uid or generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            device_serial_number="0",
            series_description=content_description(provenance),
            is_complete=complete,
            is_final=final,
            is_verified=False,
            previous_versions=[_in_study(predecessor, series)] if predecessor else None,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set="ISO_IR 192",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DicomError(
            f"A series must be valid enough to derive an SR document from, got {type(error).__name__}. "
            "Check its headers."
        ) from error
    restore_person_names(document, series)
    return plain_object(document)


def _content(
    groups: Sequence[Group], sources: Sequence[Dataset], *, provenance: Provenance, text: str
) -> hd.sr.MeasurementReport:
    report = hd.sr.MeasurementReport(
        observation_context=_observers(provenance),
        procedure_reported=concept(_procedure(sources[0])),
        imaging_measurements=groups,
        referenced_images=sources if _fit_for_library(sources) else None,
    )
    report[0].ContentSequence.append(
        hd.sr.TextContentItem(
            name=codes.DCM.Summary, value=text, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
        )
    )
    return report


def _observers(provenance: Provenance) -> hd.sr.ObservationContext:
    """The person, unless a model alone says so; and carina as the device (TID 1001, 1003, 1004)."""
    device = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=[MANUFACTURER, __version__]),
            name=f"{MANUFACTURER} {__version__}",
            manufacturer_name=MANUFACTURER,
            model_name=MANUFACTURER,
        ),
    )
    if provenance.algorithm_type == "AUTOMATIC":
        return hd.sr.ObservationContext(observer_device_context=device)
    person = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(
            name=person_name(provenance) or UNNAMED
        ),
    )
    return hd.sr.ObservationContext(observer_person_context=person, observer_device_context=device)


def _procedure(source: Dataset) -> Code:
    """What was done: as the image says, else as much as its modality tells."""
    said = first_code(source, "ProcedureCodeSequence")
    if said is not None and said.scheme and said.meaning:
        return said
    return _PLAIN_RADIOGRAPHY if source.get("Modality") in PROJECTIONS else _IMAGING


def _fit_for_library(sources: Sequence[Dataset]) -> bool:
    """Whether the images' headers hold what highdicom needs to describe them; TID 1500 may go without."""
    try:
        hd.sr.ImageLibrary(sources)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def _in_study(reference: ObjectReference, series: Series) -> Dataset:
    """An object of the image's study as highdicom takes it."""
    found = Dataset()
    found.SOPClassUID = reference.sop_class_uid
    found.SOPInstanceUID = reference.sop_instance_uid
    found.SeriesInstanceUID = reference.series_instance_uid
    found.StudyInstanceUID = series.study_instance_uid
    return found
