"""Objects of a PACS that may become annotations: what each says of itself, and what it is as an annotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom import Dataset

from ..annotations.notes import PLACE
from ..annotations.submit import MEASUREMENTS, NO_VOXELS, PREDICTION
from ..datastores.port import ImageRecord, ImageStore
from ..dicom.provenance import DocumentKind, Provenance, made_by_carina, read_content_time, read_predecessor
from ..dicom.seg import SegResult, read_seg
from ..dicom.series import read_grid
from ..dicom.sr import FindingsDocument, read_findings, read_predecessor_document
from ..geometry import Volume
from ..regions import Place

KINDS: tuple[DocumentKind, ...] = ("SEG", "SR")
"""What is looked for, by DICOM modality."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Adoptable:
    """What must be known of an object before any is adopted; its content is fetched again when its turn comes."""

    kind: DocumentKind
    uid: str
    source_series_uid: str
    study_instance_uid: str
    predecessor: str | None
    made: datetime | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """An object as an annotation.

    Attributes:
        label: Voxels; those of findings are none.
        names: Label name → voxel value.
        findings: Name → answer; None of a label map.
        notes: On the version.
        provenance: Who made it.
        model_version: Of the model whose draft it was.
        series_instance_uid: Of the object.
    """

    label: Volume
    names: Mapping[str, int]
    findings: Mapping[str, bool | None] | None
    notes: Mapping[str, Any]
    provenance: Provenance
    model_version: str | None
    series_instance_uid: str


def describe(dataset: Dataset, kind: DocumentKind) -> Adoptable:
    """What an object says of itself."""
    if kind == "SR":
        evidence = dataset.get("CurrentRequestedProcedureEvidenceSequence")
        series = evidence[0].ReferencedSeriesSequence if evidence else ()
        predecessor = read_predecessor_document(dataset)
    else:
        series, predecessor = dataset.get("ReferencedSeriesSequence"), read_predecessor(dataset)
    return Adoptable(
        kind=kind,
        uid=str(dataset.SOPInstanceUID),
        source_series_uid=str(series[0].SeriesInstanceUID) if series else "",
        study_instance_uid=str(dataset.get("StudyInstanceUID") or ""),
        predecessor=predecessor.sop_instance_uid if predecessor else None,
        made=read_content_time(dataset),
    )


def content_of(dataset: Dataset, kind: DocumentKind, *, store: ImageStore, record: ImageRecord) -> Content:
    """Read an object.

    Args:
        dataset: The object.
        kind: What it is.
        store: Where its image is.
        record: The image.

    Raises:
        DicomError: If it is damaged, or another maker's SR document.
        CarinaError: As reading the image does.
    """
    if kind == "SR":
        document = read_findings(dataset)
        said = document.place
        return _told(document, None if said is None else said.on(read_grid(store.fetch(record.image_id))[0]))
    grid, _ = read_grid(store.fetch(record.image_id))
    result = read_seg(dataset, grid=grid)
    return Content(
        label=result.label,
        names=result.names,
        findings=None,
        notes={},
        provenance=result.provenance,
        model_version=_model_version(dataset, result),
        series_instance_uid=result.series_instance_uid,
    )


def _told(document: FindingsDocument, place: Place | None) -> Content:
    answers = {one.name: one.present for one in document.findings}
    said = [
        {"label": one.name, "score": one.probability, "state": one.state}
        for one in document.findings
        if one.probability is not None
    ]
    measured = [one.to_json() for one in document.measurements]
    rows = {PREDICTION: said, MEASUREMENTS: measured, PLACE: list(place or ())}
    return Content(
        label=NO_VOXELS,
        names={},
        findings=answers,
        notes={name: row for name, row in rows.items() if row},
        provenance=document.provenance,
        model_version=document.provenance.model_version,
        series_instance_uid=document.series_instance_uid,
    )


def _model_version(dataset: Dataset, result: SegResult) -> str | None:
    """The model's version; carina's own objects without a model name carina's version in its place."""
    version = result.provenance.model_version
    software = str(dataset.get("SoftwareVersions") or "")
    return None if made_by_carina(dataset) and version == software else version
