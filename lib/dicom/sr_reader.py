"""Reading an SR document that carina wrote: what was said of an image, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from ..errors import DicomError
from ..measurements import Measurement
from .instances import open_object
from .provenance import (
    AlgorithmType,
    ObjectReference,
    Provenance,
    algorithm_in,
    made_by_carina,
    read_content_time,
    task_in,
)
from .sr_content import ReportedFinding, is_measured, probabilities, read_group, read_measured
from .sr_place import Group, ReportedPlace, groups_at_places, place_in
from .sr_writer import UNNAMED, sop_class_of_findings

_CLASSES = MappingProxyType(
    {
        sop_class_of_findings(at_place=False): hd.sr.EnhancedSR,
        sop_class_of_findings(at_place=True): hd.sr.Comprehensive3DSR,
    }
)


@dataclass(frozen=True, eq=False, kw_only=True)
class FindingsDocument:
    """An SR document read back.

    Attributes:
        findings: In the document's order.
        measurements: What tasks' drawings of the image gave.
        place: The part of the image that the findings are about; None for all of it.
        provenance: Who said so.
        complete: Whether every finding of the task was answered.
        final: Whether it is a person's finished work.
        made: When it was said, aware; None if the document does not tell.
        text: The same in sentences.
        predecessor: The document of the version before, if there is one.
        sop_instance_uid: Of the document.
        series_instance_uid: Of the document's series.
        source_instance_uids: SOP Instance UIDs of the images it is about.
    """

    findings: tuple[ReportedFinding, ...]
    measurements: tuple[Measurement, ...]
    place: ReportedPlace | None
    provenance: Provenance
    complete: bool
    final: bool
    made: datetime | None
    text: str
    predecessor: ObjectReference | None
    sop_instance_uid: str
    series_instance_uid: str
    source_instance_uids: tuple[str, ...]


def read_findings(source: Path | Dataset) -> FindingsDocument:
    """Read a document that `write_findings` made.

    Args:
        source: A file or a dataset, which is not changed.

    Raises:
        DicomError: If it is not such a document, or not whole.
    """
    dataset = open_object(source, what="An SR document")
    if dataset.get("SOPClassUID") not in _CLASSES or not made_by_carina(dataset):
        maker = str(dataset.get("Manufacturer") or "no manufacturer")[:64]
        raise DicomError(
            f"Findings must come from an Enhanced or Comprehensive 3D SR document that carina wrote, got SOP class "
            f"{dataset.get('SOPClassUID', 'none')} of {maker}. Documents of other makers are not read."
        )
    try:
        document = _CLASSES[dataset.SOPClassUID].from_dataset(dataset)
        report = document.content
        if not isinstance(report, hd.sr.MeasurementReport):
            raise DicomError("An SR document must follow TID 1500, got another template. Export it again.")
        groups: list[Group] = [*groups_at_places(report), *report.get_image_measurement_groups()]
        told = [group for group in groups if not is_measured(group)]
        findings = tuple(read_group(group) for group in told)
        measurements = tuple(one for group in groups if is_measured(group) for one in read_measured(group))
        place = place_in(told[0])
        provenance = _provenance(dataset, report, groups)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DicomError(
            f"An SR document must be complete and valid, got {type(error).__name__}. Export it again."
        ) from error
    return FindingsDocument(
        findings=findings,
        measurements=measurements,
        place=place,
        provenance=provenance,
        complete=dataset.get("CompletionFlag") == "COMPLETE",
        final=dataset.get("PreliminaryFlag") == "FINAL",
        made=read_content_time(dataset),
        text=_text(dataset),
        predecessor=read_predecessor_document(dataset),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        source_instance_uids=tuple(
            str(instance) for _, _, instance, sop_class in document.get_evidence() if sop_class != SegmentationStorage
        ),
    )


def _provenance(
    dataset: Dataset,
    report: hd.sr.MeasurementReport,
    groups: list[Group],
) -> Provenance:
    people = report.get_observer_contexts(observer_type=codes.DCM.Person)
    person = people[0].observer_identifying_attributes.name if people else UNNAMED
    task = task_in(str(dataset.get("SeriesDescription") or ""))
    user = None if person == UNNAMED else str(person).rstrip("^")
    measured = [one for group in groups for one in probabilities(group)]
    algorithm = algorithm_in(measured[0]) if measured else None
    algorithm_type: AlgorithmType = "MANUAL" if not measured else "SEMIAUTOMATIC" if people else "AUTOMATIC"
    return Provenance(
        algorithm_type=algorithm_type,
        task=task,
        model_version=algorithm.model_version if algorithm else None,
        model_sha256=algorithm.model_sha256 if algorithm else None,
        user=user,
    )


def _text(dataset: Dataset) -> str:
    summaries = [
        str(item.TextValue)
        for item in dataset.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == codes.DCM.Summary.value
    ]
    return summaries[0] if summaries else ""


def read_predecessor_document(dataset: Dataset) -> ObjectReference | None:
    """The document that an SR document says it follows, or None."""
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                return ObjectReference(
                    sop_instance_uid=str(instance.ReferencedSOPInstanceUID),
                    series_instance_uid=str(series.SeriesInstanceUID),
                    sop_class_uid=str(instance.ReferencedSOPClassUID),
                )
    return None
