"""What an annotation is written as for the PACS: a label map as a SEG object, findings as an SR document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from ..annotations.annotation import FINAL_TAG, Annotation
from ..annotations.deliveries import Delivery
from ..annotations.drafts import drafts_of
from ..annotations.notes import place_in
from ..annotations.store import AnnotationStore
from ..annotations.submit import PREDICTION
from ..annotations.voxel_values import recode, unnamed_values
from ..datastores.port import ImageStore, read_image
from ..dicom.provenance import AlgorithmType, DocumentKind, ObjectReference, Provenance
from ..dicom.seg import write_seg
from ..dicom.series import Series
from ..dicom.sr import ReportedFinding, sop_class_of_findings, write_findings
from ..errors import MissingDependencyError
from ..findings import CLINICAL_FINDING, FINDINGS
from ..geometry import Volume, resample_label
from ..labels import Code, Label, LabelSet
from ..registry import Registry
from ..structures import STRUCTURES
from ..task import TaskSpec
from .measuring import measured_for_report

_ORIGINS: Mapping[str, AlgorithmType] = MappingProxyType(
    {"manual": "MANUAL", "semiautomatic": "SEMIAUTOMATIC", "automatic": "AUTOMATIC"}
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sources:
    """What documents are written from.

    Attributes:
        store: Where the image is.
        annotations: Where the label is.
        tasks: Whose labels may be in it.
    """

    store: ImageStore
    annotations: AnnotationStore
    tasks: Registry[TaskSpec]

    def image(self, annotation: Annotation) -> tuple[Volume, Series]:
        """The annotation's image.

        Raises:
            MissingDependencyError: If it is not DICOM, so that there is nothing an object could refer to.
        """
        image, series = read_image(self.store, annotation.image_id)
        if series is None:
            raise MissingDependencyError(
                "An object in the PACS must refer to a DICOM series, got an image of another format."
            )
        return image, series

    def spec(self, annotation: Annotation) -> TaskSpec | None:
        """The annotation's task, if it has one that is still there."""
        known = annotation.task is not None and annotation.task in self.tasks
        return self.tasks.get(annotation.task) if known and annotation.task else None

    def provenance(self, annotation: Annotation) -> Provenance:
        """Where the annotation comes from."""
        return Provenance(
            algorithm_type=_ORIGINS[annotation.origin],
            task=annotation.task or "",
            model_version=annotation.model_version,
            model_sha256=self._model_hash(annotation),
            user=annotation.user,
        )

    def _model_hash(self, annotation: Annotation) -> str | None:
        for draft in drafts_of(self.annotations, annotation.image_id):
            if draft.task == annotation.task and draft.model_version == annotation.model_version:
                return draft.model_sha256
        return None


class Writer(Protocol):
    """Writes one kind of document, with the UIDs of its delivery."""

    def __call__(
        self, sources: Sources, annotation: Annotation, delivery: Delivery, predecessor: ObjectReference | None
    ) -> Dataset:
        """The document.

        Raises:
            InvalidInputError: If it cannot be written whatever the PACS does.
        """
        ...


def write_label_map(
    sources: Sources, annotation: Annotation, delivery: Delivery, predecessor: ObjectReference | None
) -> Dataset:
    """A label map as SEG; where a voxel has several labels, with segments that overlap."""
    image, series = sources.image(annotation)
    label, names = sources.annotations.read(annotation)
    labels: LabelSet | list[Label] = coded_labels(names, sources.spec(annotation))
    if unnamed_values(label.array, names, sums=False):
        ours = {one.name: 1 << position for position, one in enumerate(labels)}
        label = Volume(recode(label.array, names, ours, sums=True), label.grid)
        labels = LabelSet(
            (replace(one, index=position) for position, one in enumerate(labels, start=1)), overlapping=True
        )
    return write_seg(
        resample_label(label, grid=image.grid),
        series,
        labels=labels,
        provenance=sources.provenance(annotation),
        sop_instance_uid=delivery.sop_instance_uid,
        series_instance_uid=delivery.series_instance_uid,
        predecessor=predecessor,
    )


def write_told(
    sources: Sources, annotation: Annotation, delivery: Delivery, predecessor: ObjectReference | None
) -> Dataset:
    """Findings as SR: complete if every finding of the task is answered, final if a person is done with it."""
    _, series = sources.image(annotation)
    spec = sources.spec(annotation)
    notes = sources.annotations.label_info(annotation.id)
    findings = reported(annotation, notes, spec)
    measurements, segmentations = measured_for_report(sources.annotations, sources.tasks, annotation, series)
    return write_findings(
        findings,
        series,
        provenance=sources.provenance(annotation),
        complete=spec is not None and {one.name for one in findings} >= set(spec.labels.names),
        final=annotation.tag == FINAL_TAG,
        sop_instance_uid=delivery.sop_instance_uid,
        series_instance_uid=delivery.series_instance_uid,
        predecessor=predecessor,
        measurements=measurements,
        segmentations=segmentations,
        place=place_in(notes),
    )


def sop_class_of(document: DocumentKind, *, at_place: bool) -> str:
    """SOP Class of a document.

    Args:
        document: What it is.
        at_place: Whether it is about a part of its image.
    """
    return sop_class_of_findings(at_place=at_place) if document == "SR" else str(SegmentationStorage)


WRITERS: Mapping[DocumentKind, Writer] = MappingProxyType({"SEG": write_label_map, "SR": write_told})


def coded_labels(names: Mapping[str, int], spec: TaskSpec | None) -> list[Label]:
    """The labels of an annotation with their codes; `index` is the voxel value in its file.

    A name that is not the task's comes from the catalogue of structures; `submit_label` lets no others in.
    """
    labels = []
    for name, value in sorted(names.items(), key=lambda item: item[1]):
        source = spec.labels.named(name) if spec is not None and name in spec.labels else STRUCTURES[name]
        labels.append(
            Label(
                name=name,
                index=value,
                category=source.category,
                type=source.type,
                modifier=source.modifier,
                colour=source.colour,
            )
        )
    return labels


def reported(annotation: Annotation, notes: Mapping[str, object], spec: TaskSpec | None) -> tuple[ReportedFinding, ...]:
    """What a version of findings says, in the order of its task, with what the model had said of each.

    Args:
        annotation: With findings.
        notes: On the version.
        spec: Its task; without one the codes are the catalogue's.
    """
    answers = annotation.answers
    order = [name for name in (spec.labels.names if spec else FINDINGS) if name in answers]
    prediction = notes.get(PREDICTION)
    said = {str(one["label"]): one for one in prediction} if isinstance(prediction, list) else {}
    findings = []
    for name in [*order, *(name for name in answers if name not in order)]:
        category, code = _codes(name, spec)
        model = said.get(name)
        findings.append(
            ReportedFinding(
                name=name,
                category=category,
                code=code,
                present=answers[name],
                probability=float(model["score"]) if model else None,
                state=model["state"] if model else None,
            )
        )
    return tuple(findings)


def _codes(name: str, spec: TaskSpec | None) -> tuple[Code, Code]:
    if spec is not None and name in spec.labels:
        label = spec.labels.named(name)
        return label.category, label.type
    return CLINICAL_FINDING, FINDINGS[name]
