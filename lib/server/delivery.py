"""Writes an annotation as DICOM SEG and brings it to the PACS; what the outbox calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from ..annotations.annotation import Annotation
from ..annotations.deliveries import Delivery
from ..annotations.drafts import drafts_of
from ..annotations.store import AnnotationStore
from ..datastores.port import ImageStore, read_image
from ..dicom.provenance import state_content_time
from ..dicom.seg import Provenance, SegReference, write_seg
from ..errors import MissingDependencyError, PacsError, UnknownLabelError
from ..geometry import resample_label
from ..labels import Label
from ..registry import Registry
from ..structures import STRUCTURES
from ..task import TaskSpec

_ORIGINS: dict[str, Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]] = {
    "manual": "MANUAL",
    "semiautomatic": "SEMIAUTOMATIC",
    "automatic": "AUTOMATIC",
}


@dataclass(frozen=True, kw_only=True)
class SegDelivery:
    """Delivers one annotation; idempotent, because its UIDs are fixed and what is there already is not sent again.

    Attributes:
        store: Where the image is and the SEG goes.
        annotations: Where the label is.
        tasks: Whose labels may be in it.
    """

    store: ImageStore
    annotations: AnnotationStore
    tasks: Registry[TaskSpec]

    def __call__(self, annotation: Annotation, delivery: Delivery) -> None:
        """Write and store the SEG, unless an earlier try did, and check that it is there.

        Raises:
            MissingDependencyError: If the image is not DICOM, so that there is nothing a SEG could refer to.
            PacsError: If the PACS did not take it, or took it and does not have it.
        """
        if self.store.has_instance(delivery.sop_instance_uid):
            return
        self.store.store_instance(self._write(annotation, delivery))
        if not self.store.has_instance(delivery.sop_instance_uid):
            raise PacsError("The PACS must have an instance it said it took, and does not find it. Its log says why.")

    def _write(self, annotation: Annotation, delivery: Delivery) -> Dataset:
        image, series = read_image(self.store, annotation.image_id)
        if series is None:
            raise MissingDependencyError("A SEG must refer to a DICOM series, got an image of another format.")
        label, names = self.annotations.read(annotation)
        seg = write_seg(
            resample_label(label, grid=image.grid),
            series,
            labels=coded_labels(names, self._spec(annotation)),
            provenance=Provenance(
                algorithm_type=_ORIGINS[annotation.origin],
                task=annotation.task or "",
                model_version=annotation.model_version,
                model_sha256=self._model_hash(annotation),
                user=annotation.user,
            ),
            sop_instance_uid=delivery.sop_instance_uid,
            series_instance_uid=delivery.series_instance_uid,
            predecessor=self._predecessor(annotation),
        )
        state_content_time(seg, annotation.created)
        return seg

    def _spec(self, annotation: Annotation) -> TaskSpec | None:
        known = annotation.task is not None and annotation.task in self.tasks
        return self.tasks.get(annotation.task) if known and annotation.task else None

    def _model_hash(self, annotation: Annotation) -> str | None:
        for draft in drafts_of(self.annotations, annotation.image_id):
            if draft.task == annotation.task and draft.model_version == annotation.model_version:
                return draft.model_sha256
        return None

    def _predecessor(self, annotation: Annotation) -> SegReference | None:
        """The parent's SEG, if it was meant for the PACS too."""
        if annotation.parent is None:
            return None
        try:
            before = self.annotations.deliveries.get(annotation.parent)
        except UnknownLabelError:
            return None
        if before.state == "called_off":
            return None
        return SegReference(sop_instance_uid=before.sop_instance_uid, series_instance_uid=before.series_instance_uid)


def coded_labels(names: dict[str, int], spec: TaskSpec | None) -> list[Label]:
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
