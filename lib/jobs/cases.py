"""The labelled images of an installation as training cases of a task."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Collection
from functools import partial

from ..annotations.annotation import Annotation
from ..annotations.notes import place_in
from ..annotations.store import AnnotationStore
from ..annotations.submit import for_task
from ..datastores.port import ImageStore, read_image
from ..errors import ConflictError
from ..geometry import Volume, resample_label
from ..regions import region_at
from ..task import TaskSpec
from ..trainers.cases import Case, FindingsCase, LabelledImage, without_label

logger = logging.getLogger(__name__)


def labelled_cases(
    annotations: AnnotationStore,
    images: ImageStore,
    spec: TaskSpec,
    *,
    only: Collection[str] | None = None,
    every_reader: bool = False,
) -> list[LabelledImage]:
    """One case per image, or per place in it, with a final label that says something about the task.

    The newest such version of an image counts that may be learned from, which no rejected one may; where it says
    "unsure" alone, nothing does. An image the store does not list at the moment is left out, and its annotation kept.

    Args:
        annotations: Labels.
        images: Images.
        spec: The task.
        only: Annotation ids, as an earlier call chose them; later versions and verdicts are passed over. None: all.
        every_reader: Whether the newest such version of each other reader comes along, as `readings`.
    """
    newest: dict[tuple[str, str], dict[str | None, Annotation]] = {}
    candidates = annotations.for_training() if only is None else annotations.named(only)
    for annotation in candidates:  # oldest first
        names = annotation.findings if spec.of_whole_images else annotation.names
        place = None if spec.crop_mm is None else place_in(annotations.label_info(annotation.id))
        if spec.crop_mm is not None and place is None:  # of another task that has a finding of this name
            continue
        if annotation.task == spec.name or any(name in spec.labels for name in names):
            key = annotation.image_id, json.dumps(place)
            readers = newest.setdefault(key, {}) if every_reader else {}
            readers.pop(annotation.user, None)  # the newest comes last
            teaches = not spec.of_whole_images or any(name in spec.labels for name in names)  # not where all is unsure
            newest[key] = readers | ({annotation.user: annotation} if teaches else {})
    listed = {record.image_id for record in images.list_images()}
    missing = {image_id for image_id, _ in newest} - listed
    if missing:
        logger.warning("%d labelled image(s) are not in the image store at the moment and are left out.", len(missing))
    case_of = _findings_case if spec.of_whole_images else _case
    cases = []
    for readers in (readers for (image_id, _), readers in newest.items() if readers and image_id in listed):
        *others, case = (case_of(annotations, images, version, spec) for version in readers.values())
        cases.append(dataclasses.replace(case, readings=tuple(others)))
    return sorted(cases, key=lambda case: case.image_id)


def unlabelled_cases(annotations: AnnotationStore, images: ImageStore, image_ids: Collection[str]) -> list[Case]:
    """Images as they are, for trainings that learn from some without a label.

    Args:
        annotations: For the pseudonyms of patients.
        images: Images.
        image_ids: Which.

    Raises:
        ConflictError: If one is not there any more.
    """
    records = {record.image_id: record for record in images.list_images()} if image_ids else {}
    missing = set(image_ids) - records.keys()
    if missing:
        raise ConflictError(
            f"A resumed training must find the images without labels that it began with, got {len(missing)} missing. "
            f"Bring them back, or start a new training."
        )
    return [
        without_label(
            image_id=image_id,
            patient_id=annotations.patients.key(records[image_id].patient_id, image_id=image_id),
            revision=image_id,
            load=partial(_image, images, image_id),
        )
        for image_id in image_ids
    ]


def _image(images: ImageStore, image_id: str) -> Volume:
    return read_image(images, image_id)[0]


def _case(annotations: AnnotationStore, images: ImageStore, annotation: Annotation, spec: TaskSpec) -> LabelledImage:
    return Case(
        image_id=annotation.image_id,
        patient_id=annotation.patient_key,
        load=_loader(annotations, images, annotation, spec),
        revision=annotation.id,
        annotated=frozenset(name for name in annotation.names if name in spec.labels) or None,
    )


def _findings_case(
    annotations: AnnotationStore, images: ImageStore, annotation: Annotation, spec: TaskSpec
) -> LabelledImage:
    findings = {name: value for name, value in annotation.findings.items() if name in spec.labels}
    place = None if spec.crop_mm is None else place_in(annotations.label_info(annotation.id))

    def load() -> Volume:
        image = _image(images, annotation.image_id)
        if spec.crop_mm is None or place is None:
            return image
        return region_at(place, image.grid, size_mm=spec.crop_mm).crop(image)

    return FindingsCase(
        image_id=annotation.image_id if place is None else f"{annotation.image_id}-{annotation.id}",
        patient_id=annotation.patient_key,
        load=load,
        findings=findings,
        revision=annotation.id,
        annotated=frozenset(findings),
    )


def _loader(
    annotations: AnnotationStore, images: ImageStore, annotation: Annotation, spec: TaskSpec
) -> Callable[[], tuple[Volume, Volume]]:
    def load() -> tuple[Volume, Volume]:
        image, _ = read_image(images, annotation.image_id)
        return image, resample_label(for_task(annotations, annotation, spec), grid=image.grid)

    return load
