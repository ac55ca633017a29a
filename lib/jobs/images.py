"""Jobs over many images: which ones, and one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..annotations.annotation import Annotation
from ..annotations.drafts import drafts_of
from ..datastores.ids import check_id
from ..errors import CancelledError, InvalidInputError, NotFoundError, OutOfMemoryError
from ..task import TaskSpec
from .kind import Work

Progress = Callable[[float, str], None]

ALL, UNLABELLED = "all", "unlabelled"
DRAFT = "original"


def check_images(options: Mapping[str, Any]) -> None:
    """Refuse a choice of images that cannot be right.

    Args:
        options: `images`: `unlabelled` (no label of the task at all, drafts included; the default), `all`, or a list of
            ids. `limit`: at most so many.

    Raises:
        InvalidInputError: If a value does not fit.
        UnsafeIdError: If an id could not be one.
    """
    images = options.get("images", UNLABELLED)
    if isinstance(images, list) and all(isinstance(image_id, str) for image_id in images):
        for image_id in images:
            check_id(image_id)
    elif isinstance(images, list) or images not in (ALL, UNLABELLED):
        raise InvalidInputError(f"Option 'images' must be all, unlabelled or a list of ids, got {str(images)[:64]!r}.")
    limit = options.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInputError(f"Option 'limit' must be a whole number above 0, got {str(limit)[:32]!r}.")


def wanted_images(work: Work) -> list[str]:
    """Ids of the images asked for, in their order; unless they are named, those of the task's modalities."""
    images = work.options.get("images", UNLABELLED)
    if isinstance(images, list):
        wanted: Sequence[str] = images
    else:
        wanted = unlabelled_images(work) if images == UNLABELLED else _images_of_modality(work)
    return list(wanted)[: work.options.get("limit")]


def unlabelled_images(work: Work) -> list[str]:
    """Ids of the images of the task's modalities that have no label of the task at all, drafts included."""
    return [image_id for image_id in _images_of_modality(work) if not _any_label(work, image_id)]


def each_image(
    work: Work,
    images: Sequence[str],
    outcomes: Sequence[str],
    one: Callable[[str, Progress], str],
    *,
    details: Callable[[str], Mapping[str, Any]] = lambda image_id: {},
) -> dict[str, Any]:
    """Do one thing to each image. One to which it cannot be done is noted and does not hold up the others.

    Args:
        work: The job's.
        images: Ids.
        outcomes: What can become of an image.
        one: Image id and where its own progress goes → its outcome.
        details: What the event of an image that was done says besides its outcome.

    Returns:
        `images`, the number of images for every outcome, and `failed` (image id → sentence).

    Raises:
        CancelledError: If the job was asked to end.
        CarinaError: What is no fault of the image, such as a PACS that does not answer.
    """
    counts, failed = dict.fromkeys(outcomes, 0), {}
    for position, image_id in enumerate(images):
        if work.cancelled():
            raise CancelledError(f"The job was cancelled after {position} of {len(images)} images.")
        tell = _part_of(work, position, len(images))
        tell(0.0, "")
        try:
            outcome = one(image_id, tell)
        except (InvalidInputError, NotFoundError, OutOfMemoryError) as error:
            failed[image_id] = str(error)
            work.reporter.image(image_id, outcome="failed", error=str(error))
        else:
            counts[outcome] += 1
            work.reporter.image(image_id, outcome=outcome, **details(image_id))
    work.reporter.progress(1.0, f"{counts[outcomes[0]]} of {len(images)} images {outcomes[0]}")
    return {"images": len(images), **counts, "failed": failed}


def persons_work(annotation: Annotation, spec: TaskSpec) -> bool:
    """Whether a version is more than a draft, and about the task: made for it, or for none but with its labels."""
    if annotation.tag == DRAFT:
        return False
    return annotation.task == spec.name or (
        annotation.task is None and any(name in spec.labels for name in annotation.names)
    )


def _images_of_modality(work: Work) -> list[str]:
    return [record.image_id for record in work.images.list_images() if work.spec.takes(record.modality)]


def _any_label(work: Work, image_id: str) -> bool:
    versions = [item for item in work.annotations.versions(image_id) if not item.withdrawn]
    if any(item.task == work.spec.name or persons_work(item, work.spec) for item in versions):
        return True
    return work.spec.of_whole_images and any(
        draft.task == work.spec.name and draft.prediction for draft in drafts_of(work.annotations, image_id)
    )


def _part_of(work: Work, position: int, count: int) -> Progress:
    """The progress of one image, told as that of the whole."""
    text = f"image {position + 1} of {count}"
    return lambda fraction, phrase: work.reporter.progress(
        (position + fraction) / count, f"{text}: {phrase}" if phrase else text
    )


def require_whole(spec: TaskSpec) -> None:
    """Refuse a task that judges a part of an image where nobody points at one.

    Raises:
        InvalidInputError: If it does.
    """
    if spec.crop_mm is not None:
        raise InvalidInputError(
            f"This job must be of a task that sees whole images, got '{spec.name}', which must be told where to look. "
            "Ask it about one place at a time."
        )


def require_drawing(spec: TaskSpec) -> None:
    """Refuse a task that tells findings of whole images where label maps are made.

    Raises:
        InvalidInputError: If it does.
    """
    if spec.of_whole_images:
        raise InvalidInputError(
            f"This job must be of a task that draws, got '{spec.name}', which tells findings. Start a batch inference."
        )
