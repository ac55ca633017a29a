"""The kind `infer`: drafts of many images, kept with the tag `original`; a person's work is never drafted over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..annotations.drafts import remember_draft
from ..errors import InvalidInputError
from ..infers.options import choice
from ..labels import did_you_mean
from ..models.store import ModelStore
from ..task import LUNGS, WHOLE, TaskSpec
from .ahead import made_ahead
from .findings import FindingsBatch
from .images import DRAFT, Progress, check_images, each_image, persons_work, require_whole, wanted_images
from .kind import JobKind, Work

if TYPE_CHECKING:
    from ..infers.draft import Loaded
    from ..infers.segmentation import SegmentationInfer

_AHEAD = 4
_OUTCOMES = ("drafted", "already_drafted", "labelled")
_OPTIONS = ("images", "limit", "model_version", "device")
_DRAWING_OPTIONS, _TELLING_OPTIONS = (*_OPTIONS, "overlap"), (*_OPTIONS, "roi")


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be right.

    Args:
        spec: The task.
        options: `images` and `limit` as in `images.check_images`; `model_version`, `device`, and `overlap` or, of
            findings, `roi`: as in one inference.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
        UnsafeIdError: If an id could not be one.
    """
    require_whole(spec)
    known = _TELLING_OPTIONS if spec.of_whole_images else _DRAWING_OPTIONS
    for name in options:
        if name not in known:
            raise InvalidInputError(f"Inference option '{name[:64]}' is not known.{did_you_mean(name, known)}")
    choice("roi", WHOLE, LUNGS).parse(options.get("roi"))
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
    from ..infers.classification import ClassificationInfer  # torch takes seconds
    from ..infers.segmentation import SegmentationInfer

    sort = ClassificationInfer if work.spec.of_whole_images else SegmentationInfer
    infer = sort(work.spec, ModelStore(work.settings.models_dir), work.images, device=work.device)
    plan = work.folder.plan()
    if plan is None:
        version = infer.version(work.options.get("model_version"))
        plan = {"model_version": version.version, "images": wanted_images(work)}
        work.folder.write_plan(plan)
    images = plan["images"]
    if isinstance(infer, ClassificationInfer):
        with closing(FindingsBatch(work, infer, infer.version(plan["model_version"]), images)) as told:
            found = each_image(work, images, _OUTCOMES, told.one, details=told.details)
    else:
        with closing(_Drawing(work, infer, plan["model_version"], images)) as drawn:
            found = each_image(work, images, _OUTCOMES, drawn.one)
    return {"model_version": plan["model_version"], **found}


KIND = JobKind(
    name="infer",
    description="Draft many images and keep the drafts; images that a person labelled are passed over",
    check=check,
    run=run,
)


class _Drawing:
    """The images of one job, drafted in their order; those of 2D tasks are read while the ones before are drawn."""

    def __init__(self, work: Work, infer: SegmentationInfer, version: str, images: Sequence[str]) -> None:
        self._work = work
        self._infer = infer
        self._version = version
        self._loaded = made_ahead(images, self._load, ahead=_AHEAD) if work.spec.dimension == 2 else None

    def one(self, image_id: str, tell: Progress) -> str:
        """Draft the next image unless there is no need to; to be called for all of them in their order."""
        loaded = next(self._loaded).get() if self._loaded is not None else None
        return self._passed_over(image_id) or self._draft(image_id, loaded or image_id, tell)

    def close(self) -> None:
        """Read no more."""
        if self._loaded is not None:
            self._loaded.close()

    def _load(self, image_id: str) -> Loaded | None:
        return None if self._passed_over(image_id) else self._infer.load(image_id)

    def _passed_over(self, image_id: str) -> str | None:
        """Why the image needs no draft, if so; asked again before the draft is kept."""
        versions = [item for item in self._work.annotations.versions(image_id) if not item.withdrawn]
        if any(persons_work(item, self._work.spec) for item in versions):
            return "labelled"
        mine = (self._work.spec.name, self._version)
        return "already_drafted" if any((item.task, item.model_version) == mine for item in versions) else None

    def _draft(self, image_id: str, image: str | Loaded, tell: Progress) -> str:
        work = self._work
        record = work.images.record(image_id)
        draft = self._infer.draft(
            {"image": image, "model_version": self._version, "overlap": work.options.get("overlap")},
            progress=tell,
            cancelled=work.cancelled,
        )
        reason = self._passed_over(image_id)
        if reason is not None:
            return reason
        work.annotations.submit(
            image_id,
            draft.label,
            names={name: work.spec.labels.values[name] for name in draft.params["label_names"]},
            tag=DRAFT,
            task=work.spec.name,
            user=work.user,
            model_version=self._version,
            patient_id=record.patient_id,
            origin="automatic",
            deliver=False,
        )
        remember_draft(work.annotations, image_id, task=work.spec.name, params=draft.params)
        return "drafted"
