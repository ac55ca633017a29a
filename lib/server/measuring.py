"""What a report says was measured: on a reader's drawing of the anatomy where there is one, else on the model's."""

from __future__ import annotations

from collections.abc import Mapping

from ..annotations.annotation import Annotation
from ..annotations.store import AnnotationStore
from ..annotations.submit import MEASUREMENTS, for_task
from ..dicom.provenance import ObjectReference
from ..dicom.series import Series
from ..errors import UnknownLabelError
from ..geometry import resample_label
from ..measurements import ANATOMY, Measurement, anatomy_measured, measurements_in
from ..registry import Registry
from ..task import TaskSpec


def measured_for_report(
    annotations: AnnotationStore, tasks: Registry[TaskSpec], annotation: Annotation, series: Series
) -> tuple[tuple[Measurement, ...], Mapping[str, ObjectReference]]:
    """Measurements, and the SEG of the drawing they were taken on, once that is in the PACS.

    Args:
        annotations: Where the drawing is, if there is one.
        tasks: With the anatomy, or without.
        annotation: Findings of a radiograph; its notes hold what was measured when the model was asked.
        series: The image.

    Raises:
        StorageError: If the drawing's file is gone or was changed.
    """
    said = measurements_in(annotations.label_info(annotation.id).get(MEASUREMENTS))
    drawn = _drawn_by_a_reader(annotations, annotation.image_id) if ANATOMY in tasks else None
    found = () if drawn is None else _measured_on(annotations, drawn, tasks.get(ANATOMY), series)
    if drawn is None or not found:
        return said, {}
    return (*found, *(one for one in said if one.task != ANATOMY)), _seg_of(annotations, drawn)


def _drawn_by_a_reader(annotations: AnnotationStore, image_id: str) -> Annotation | None:
    try:
        return annotations.latest(image_id, task=ANATOMY)
    except UnknownLabelError:
        return None


def _measured_on(
    annotations: AnnotationStore, drawn: Annotation, spec: TaskSpec, series: Series
) -> tuple[Measurement, ...]:
    label = resample_label(for_task(annotations, drawn, spec), grid=series.volume.grid)
    return anatomy_measured(
        label.array, spec.labels, task=ANATOMY, model_version="", pixel_mm=series.radiograph_pixel_mm
    )


def _seg_of(annotations: AnnotationStore, drawn: Annotation) -> dict[str, ObjectReference]:
    try:
        delivery = annotations.deliveries.get(drawn.id)
    except UnknownLabelError:  # never to be delivered
        return {}
    if delivery.state != "delivered":
        return {}
    seg = ObjectReference(sop_instance_uid=delivery.sop_instance_uid, series_instance_uid=delivery.series_instance_uid)
    return {ANATOMY: seg}
