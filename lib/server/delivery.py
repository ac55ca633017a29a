"""Writes an annotation as a DICOM object and brings it to the PACS; what the outbox calls."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

from ..annotations.annotation import Annotation
from ..annotations.deliveries import Delivery
from ..annotations.notes import place_in
from ..annotations.store import AnnotationStore
from ..datastores.port import ImageStore
from ..dicom.provenance import ObjectReference, state_content_time
from ..errors import PacsError, UnknownLabelError
from ..regions import Place
from ..registry import Registry
from ..task import TaskSpec
from .documents import WRITERS, Sources, sop_class_of


@dataclass(frozen=True, kw_only=True)
class PacsDelivery:
    """Delivers one annotation; idempotent, because its UIDs are fixed and what is there already is not sent again.

    Attributes:
        store: Where the image is and the object goes.
        annotations: Where the label is.
        tasks: Whose labels may be in it.
    """

    store: ImageStore
    annotations: AnnotationStore
    tasks: Registry[TaskSpec]

    def __call__(self, annotation: Annotation, delivery: Delivery) -> None:
        """Write and store the object, unless an earlier try did, and check that it is there.

        Raises:
            MissingDependencyError: If the image is not DICOM, so that there is nothing an object could refer to.
            PacsError: If the PACS did not take it, or took it and does not have it.
        """
        if self.store.has_instance(delivery.sop_instance_uid):
            return
        self.store.store_instance(self._write(annotation, delivery))
        if not self.store.has_instance(delivery.sop_instance_uid):
            raise PacsError("The PACS must have an instance it said it took, and does not find it. Its log says why.")

    def _write(self, annotation: Annotation, delivery: Delivery) -> Dataset:
        sources = Sources(store=self.store, annotations=self.annotations, tasks=self.tasks)
        document = WRITERS[delivery.document](sources, annotation, delivery, self._predecessor(annotation, delivery))
        state_content_time(document, annotation.created)
        return document

    def _predecessor(self, annotation: Annotation, delivery: Delivery) -> ObjectReference | None:
        """The object of the newest version before of the same kind and place, if that was meant for the PACS too."""
        place, before = self._place(annotation), annotation
        while before.parent is not None:
            before = self.annotations.get(before.parent)
            try:
                known = self.annotations.deliveries.get(before.id)
            except UnknownLabelError:
                return None
            if known.document == delivery.document and self._place(before) == place:
                return None if known.state == "called_off" else _reference(known, at_place=place is not None)
        return None

    def _place(self, annotation: Annotation) -> Place | None:
        return place_in(self.annotations.label_info(annotation.id))


def _reference(delivery: Delivery, *, at_place: bool) -> ObjectReference:
    return ObjectReference(
        sop_instance_uid=delivery.sop_instance_uid,
        series_instance_uid=delivery.series_instance_uid,
        sop_class_uid=sop_class_of(delivery.document, at_place=at_place),
    )
