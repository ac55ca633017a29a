"""The kind `infer`: drafts of many images, kept with the tag `original`; a person's work is never drafted over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..annotations.drafts import remember_draft
from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..models.store import ModelStore
from ..task import TaskSpec
from .images import DRAFT, check_images, each_image, persons_work, require_drawing, wanted_images
from .kind import JobKind, Work

if TYPE_CHECKING:
    from ..infers.segmentation import SegmentationInfer

Progress = Callable[[float, str], None]

_OUTCOMES = ("drafted", "already_drafted", "labelled")
_OPTIONS = ("images", "limit", "model_version", "overlap", "device")


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be right.

    Args:
        spec: The task.
        options: `images` and `limit` as in `images.check_images`; `model_version`, `overlap`, `device`: as in one
            inference.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
        UnsafeIdError: If an id could not be one.
    """
    require_drawing(spec)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidInputError(f"Inference option '{name[:64]}' is not known.{did_you_mean(name, _OPTIONS)}")
    check_images(options)


def run(work: Work) -> dict[str, Any]:
    """Draft every image of the job, or those that an earlier attempt left.

    The first attempt fixes images and model version. An image that has a draft of that version is passed over, and so
    is one that a person labelled meanwhile; one that cannot be drafted is noted and does not hold up the others.

    Returns:
        `model_version`, and as `images.each_image` does: `drafted`, `already_drafted`, `labelled`.

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
        plan = {"model_version": version.version, "images": wanted_images(work)}
        work.folder.write_plan(plan)
    batch = _Batch(work=work, infer=infer, version=plan["model_version"])
    return {"model_version": batch.version, **each_image(work, plan["images"], _OUTCOMES, batch.one)}


KIND = JobKind(
    name="infer",
    description="Draft many images and keep the drafts; images that a person labelled are passed over",
    check=check,
    run=run,
)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    work: Work
    infer: SegmentationInfer
    version: str

    def one(self, image_id: str, tell: Progress) -> str:
        """Draft one image unless there is no need to."""
        return self._passed_over(image_id) or self._draft(image_id, tell)

    def _passed_over(self, image_id: str) -> str | None:
        """Why the image needs no draft, if so; asked again before the draft is kept."""
        versions = [item for item in self.work.annotations.versions(image_id) if not item.withdrawn]
        if any(persons_work(item, self.work.spec) for item in versions):
            return "labelled"
        mine = (self.work.spec.name, self.version)
        return "already_drafted" if any((item.task, item.model_version) == mine for item in versions) else None

    def _draft(self, image_id: str, tell: Progress) -> str:
        work = self.work
        record = work.images.record(image_id)
        draft = self.infer.draft(
            {"image": image_id, "model_version": self.version, "overlap": work.options.get("overlap")},
            progress=tell,
            cancelled=work.cancelled,
        )
        reason = self._passed_over(image_id)
        if reason is not None:
            return reason
        work.annotations.submit(
            image_id,
            draft.flat,
            names=draft.params["label_names"],
            tag=DRAFT,
            task=work.spec.name,
            user=work.user,
            model_version=self.version,
            patient_id=record.patient_id,
            origin="automatic",
            deliver=False,
        )
        remember_draft(work.annotations, image_id, task=work.spec.name, params=draft.params)
        return "drafted"
