"""The kind `score`: a number per image and method, kept among the image's notes, and what the model sees in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..annotations.looks import KeptLook
from ..datastores.port import read_image
from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..models.loading import load_into
from ..models.plausibility import plausibility_of
from ..models.store import ModelStore
from ..models.version import ModelVersion
from ..scoring import ScoringMethod, find_methods
from ..task import TaskSpec
from .images import check_images, each_image, require_drawing, require_whole, wanted_images
from .kind import JobKind, Work
from .roi import view_of

if TYPE_CHECKING:
    from torch import nn

    from ..infers.looking import Look
    from ..preprocessing import Prepared

_OPTIONS = ("method", "images", "limit", "model_version", "device")
_DEFAULT = "entropy"
_OTHERS = 4
"""Members of a committee beside the version that scores: each costs a pass of every image."""


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be right.

    Args:
        spec: The task.
        options: `method`, by default entropy; `images` and `limit` as in `images.check_images`; `model_version` and
            `device` as in one inference.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
        UnknownNameError: If there is no such method.
    """
    require_whole(spec)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidInputError(f"Scoring option '{name[:64]}' is not known.{did_you_mean(name, _OPTIONS)}")
    if find_methods().get(str(options.get("method") or _DEFAULT)).sampling in ("drawing", "pieces"):
        require_drawing(spec)
    check_images(options)


def run(work: Work) -> dict[str, Any]:
    """Score every image of the job; those that have a score of the same method and model version are passed over.

    Returns:
        `model_version`, `method`, and as `images.each_image` does: `scored`, `already_scored`.

    Raises:
        NoModelError: If the task has no model.
        InvalidInputError: If the method is not possible with the versions or network there are.
        CancelledError: If the job was asked to end.
        PacsError: If the PACS does not answer; a resumed job goes on.
    """
    from ..infers.classification import ClassificationInfer  # torch takes seconds
    from ..infers.segmentation import SegmentationInfer
    from ..preprocessing import prepare

    spec, models = work.spec, ModelStore(work.settings.models_dir)
    method = find_methods().get(str(work.options.get("method") or _DEFAULT))
    plan = work.folder.plan()
    if plan is None:
        sort = ClassificationInfer if spec.of_whole_images else SegmentationInfer
        version = sort(spec, models).version(work.options.get("model_version"))
        members = _others(models, spec, version.version) if method.sampling == "members" else []
        plan = {"model_version": version.version, "others": members, "images": wanted_images(work)}
        work.folder.write_plan(plan)
    version = plan["model_version"]
    network, *committee = [_network(models, spec, one) for one in (version, *plan.get("others", ()))]
    looking = _looking_with(network, committee, models.get(spec.name, version), method, work)
    key, view = score_key(spec.name, method.name), view_of(spec, models, device=work.device)

    def one(image_id: str, tell: Callable[[float, str], None]) -> str:
        scored = work.annotations.image_info(image_id).get(key, {}).get("version")
        if scored == version == work.annotations.looks.version(image_id, task=spec.name):
            return "already_scored"
        image, _ = read_image(work.images, image_id)
        seen = looking(prepare(view(image), spec))
        kept = KeptLook(embedding=seen.embedding, presence=seen.presence)
        work.annotations.looks.put(image_id, kept, task=spec.name, model_version=version)
        note = {"value": seen.score, "version": version, "at": time.time()}
        work.annotations.update_image_info(image_id, {key: note})
        return "scored"

    done = each_image(work, plan["images"], ("scored", "already_scored"), one)
    return {"model_version": version, "method": method.name, **done}


def _looking_with(
    network: nn.Module, others: Sequence[nn.Module], version: ModelVersion, method: ScoringMethod, work: Work
) -> Callable[[Prepared], Look]:
    """How a prepared image is looked at and scored."""
    import torch

    from ..infers.looking import look
    from ..infers.sliding_window import predict

    spec = work.spec
    ask = partial(look, network, spec=spec, device=work.device, cancelled=work.cancelled)
    if method.sampling != "drawing":
        return partial(ask, score=method.score, sampling=method.sampling, others=others)
    usual = plausibility_of(version)
    if usual is None:
        raise InvalidInputError(
            f"Scoring by '{method.name}' must be with a version that knows what its labels look like, got "
            f"{version.version} without. Train a new version, with five labels or more."
        )

    def looking(prepared: Prepared) -> Look:
        drawn = predict(network, prepared, spec=spec, device=work.device, cancelled=work.cancelled)
        odd = usual.judge(drawn, spec.labels).structures.values()
        return replace(ask(prepared), score=method.score([torch.tensor(list(odd))]))

    return looking


def _others(models: ModelStore, spec: TaskSpec, version: str) -> list[str]:
    """The newest other versions that can be asked the same, at least one."""
    fitting = [
        one.version
        for one in models.list(spec.name)
        if one.version != version and one.has_weights and one.fingerprint == spec.fingerprint()
    ]
    if not fitting:
        raise InvalidInputError(
            f"A committee must have two or more versions of '{spec.name}' with weights, got {version} alone. Train the "
            "task again, or score with tta, which needs one."
        )
    return fitting[::-1][:_OTHERS]


def _network(models: ModelStore, spec: TaskSpec, version: str) -> nn.Module:
    from ..networks.factory import build_network

    network = build_network(spec)
    load_into(network, models.get(spec.name, version), spec=spec)
    return network.eval()


KIND = JobKind(
    name="score",
    description="Score images by how a model sees them, for strategies to rank by",
    check=check,
    run=run,
)


def score_key(task: str, method: str) -> str:
    """Under which an image's notes hold a score: `{"value", "version", "at"}`."""
    return f"score:{task}:{method}"
