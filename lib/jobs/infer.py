"""The kind `infer`: drafts of many images, kept with the tag `original`; a person's work is never drafted over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..annotations.annotation import Annotation
from ..annotations.drafts import remember_draft
from ..datastores.ids import check_id
from ..errors import CancelledError, InvalidInputError, NotFoundError, OutOfMemoryError
from ..labels import did_you_mean
from ..models.store import ModelStore
from ..task import TaskSpec
from .kind import JobKind, Work

if TYPE_CHECKING:
    from ..infers.segmentation import SegmentationInfer

ALL, UNLABELLED = "all", "unlabelled"
_DRAFT = "original"
_OPTIONS = ("images", "limit", "model_version", "overlap", "device")


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be right.

    Args:
        spec: The task.
        options: `images`: `unlabelled` (no label of the task at all, the default), `all` (all without a person's
            work), or a list of ids. `limit`: at most so many. `model_version`, `overlap`, `device`: as in one
            inference.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
        UnsafeIdError: If an id could not be one.
    """
    for name in options:
        if name not in _OPTIONS:
            raise InvalidInputError(f"Inference option '{name[:64]}' is not known.{did_you_mean(name, _OPTIONS)}")
    images = options.get("images", UNLABELLED)
    if isinstance(images, list):
        for image_id in images:
            check_id(image_id)
    elif images not in (ALL, UNLABELLED):
        raise InvalidInputError(f"Option 'images' must be all, unlabelled or a list of ids, got {str(images)[:64]!r}.")
    limit = options.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInputError(f"Option 'limit' must be a whole number above 0, got {str(limit)[:32]!r}.")


def run(work: Work) -> dict[str, Any]:
    """Draft every image of the job, or those that an earlier attempt left.

    The first attempt fixes images and model version. An image that has a draft of that version is passed over, and so
    is one that a person labelled meanwhile; one that cannot be drafted is noted and does not hold up the others.

    Returns:
        `model_version`, `images`, `drafted`, `already_drafted`, `labelled`, and `failed` (image id → sentence).

    Raises:
        NoModelError: If the task has no model.
        CancelledError: If the job was asked to end.
        PacsError: If the PACS does not answer; what was drafted stays, and a resumed job goes on.
        StorageError: If the disk is full.
    """
    from ..infers.segmentation import SegmentationInfer  # torch takes seconds

    infer = SegmentationInfer(work.spec, ModelStore(work.settings.models_dir), work.images, device=work.device)
    plan = work.folder.plan()
    if plan is None:
        version = infer.version(work.options.get("model_version"))
        plan = {"model_version": version.version, "images": _wanted(work)}
        work.folder.write_plan(plan)
    batch = _Batch(work=work, infer=infer, version=plan["model_version"])
    for position, image_id in enumerate(plan["images"]):
        if work.cancelled():
            raise CancelledError("The batch inference was cancelled.")
        batch.one(image_id, position=position, count=len(plan["images"]))
    work.reporter.progress(1.0, f"drafted {batch.counts['drafted']} of {len(plan['images'])} images")
    return {
        "model_version": batch.version,
        "images": len(plan["images"]),
        **batch.counts,
        "failed": batch.failed,
    }


KIND = JobKind(
    name="infer",
    description="Draft many images and keep the drafts; images that a person labelled are passed over",
    check=check,
    run=run,
)


@dataclass(kw_only=True)
class _Batch:
    work: Work
    infer: SegmentationInfer
    version: str
    counts: dict[str, int] = field(default_factory=lambda: {"drafted": 0, "already_drafted": 0, "labelled": 0})
    failed: dict[str, str] = field(default_factory=dict)

    def one(self, image_id: str, *, position: int, count: int) -> None:
        """Draft one image unless there is no need to."""
        text = f"image {position + 1} of {count}"
        self.work.reporter.progress(position / count, text)
        try:
            outcome = self._passed_over(image_id) or self._draft(image_id, text, position, count)
        except (InvalidInputError, NotFoundError, OutOfMemoryError) as error:
            self.failed[image_id] = str(error)
            self.work.reporter.image(image_id, outcome="failed", error=str(error))
        else:
            self.counts[outcome] += 1
            self.work.reporter.image(image_id, outcome=outcome)

    def _passed_over(self, image_id: str) -> str | None:
        """Why the image needs no draft, if so; asked again before the draft is kept."""
        versions = [item for item in self.work.annotations.versions(image_id) if not item.withdrawn]
        if any(persons_work(item, self.work.spec) for item in versions):
            return "labelled"
        mine = (self.work.spec.name, self.version)
        return "already_drafted" if any((item.task, item.model_version) == mine for item in versions) else None

    def _draft(self, image_id: str, text: str, position: int, count: int) -> str:
        work = self.work
        record = work.images.record(image_id)
        draft = self.infer.draft(
            {"image": image_id, "model_version": self.version, "overlap": work.options.get("overlap")},
            progress=lambda fraction, phrase: work.reporter.progress(
                (position + fraction) / count, f"{text}: {phrase}"
            ),
            cancelled=work.cancelled,
        )
        reason = self._passed_over(image_id)
        if reason is not None:
            return reason
        work.annotations.submit(
            image_id,
            draft.label,
            names=draft.params["label_names"],
            tag=_DRAFT,
            task=work.spec.name,
            user=work.user,
            model_version=self.version,
            patient_id=record.patient_id,
            origin="automatic",
            deliver=False,
        )
        remember_draft(work.annotations, image_id, task=work.spec.name, params=draft.params)
        return "drafted"


def persons_work(annotation: Annotation, spec: TaskSpec) -> bool:
    """Whether a version is more than a draft, and about the task: made for it, or for none but with its labels."""
    if annotation.tag == _DRAFT:
        return False
    return annotation.task == spec.name or (
        annotation.task is None and any(name in spec.labels for name in annotation.names)
    )


def _wanted(work: Work) -> list[str]:
    """Ids of the images to draft, in their order; whether each needs it is asked when its turn comes."""
    images = work.options.get("images", UNLABELLED)
    if isinstance(images, list):
        wanted: Sequence[str] = images
    else:
        wanted = [record.image_id for record in work.images.list_images()]
        if images == UNLABELLED:
            wanted = [image_id for image_id in wanted if not _any_label(work, image_id)]
    return list(wanted)[: work.options.get("limit")]


def _any_label(work: Work, image_id: str) -> bool:
    versions = [item for item in work.annotations.versions(image_id) if not item.withdrawn]
    return any(item.task == work.spec.name or persons_work(item, work.spec) for item in versions)
