"""The kind `look`: an embedding of every image, so that images can be compared; needs no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..annotations.looks import NO_MODEL, KeptLook
from ..datastores.port import read_image
from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..models.loading import load_into
from ..models.store import ModelStore
from ..networks.factory import require_network
from ..task import TaskSpec
from .images import ALL, check_images, each_image, require_whole, wanted_images
from .kind import JobKind, Work
from .roi import view_of

if TYPE_CHECKING:
    from ..geometry import Volume

Looking = Callable[["Volume"], KeptLook]

_OPTIONS = ("images", "limit", "device")


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be right.

    Args:
        spec: The task.
        options: `images` (all by default) and `limit` as in `images.check_images`; `device` as in one inference.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
    """
    require_network(spec)
    require_whole(spec)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidInputError(f"Look option '{name[:64]}' is not known.{did_you_mean(name, _OPTIONS)}")
    check_images(options)


def run(work: Work) -> dict[str, Any]:
    """Look at every image of the job; those at which the same version looked are passed over.

    Returns:
        `model_version` (empty if the task has no model), and as `images.each_image` does: `seen`, `already_seen`.

    Raises:
        CancelledError: If the job was asked to end.
        PacsError: If the PACS does not answer; a resumed job goes on.
    """
    spec = work.spec
    plan = work.folder.plan()
    if plan is None:
        served = ModelStore(work.settings.models_dir).served(spec.name)
        everything = replace(work, options={"images": ALL, **work.options})
        plan = {"model_version": served.version if served else NO_MODEL, "images": wanted_images(everything)}
        work.folder.write_plan(plan)
    version = plan["model_version"]
    looking = looking_with(
        ModelStore(work.settings.models_dir), spec, version, device=work.device, cancelled=work.cancelled
    )

    def one(image_id: str, tell: Callable[[float, str], None]) -> str:
        if work.annotations.looks.version(image_id, task=spec.name) == version:
            return "already_seen"
        image, _ = read_image(work.images, image_id)
        work.annotations.looks.put(image_id, looking(image), task=spec.name, model_version=version)
        return "seen"

    return {"model_version": version, **each_image(work, plan["images"], ("seen", "already_seen"), one)}


def looking_with(
    models: ModelStore, spec: TaskSpec, version: str, *, device: str, cancelled: Callable[[], bool] = lambda: False
) -> Looking:
    """How an image is looked at by a version, or without a model.

    Args:
        models: Where versions are.
        spec: The task.
        version: Which, or `NO_MODEL`.
        device: As `networks.devices.resolve_device` takes it.
        cancelled: Asked before every window.
    """
    from ..infers.looking import embed_plainly, look  # torch takes seconds
    from ..networks.factory import build_network
    from ..preprocessing import prepare

    view = view_of(spec, models, device=device)
    if version == NO_MODEL:
        return lambda image: KeptLook(embedding=embed_plainly(prepare(view(image), spec), spec), presence={})
    network = build_network(spec)
    load_into(network, models.get(spec.name, version), spec=spec)
    network.eval()

    def looking(image: Volume) -> KeptLook:
        seen = look(network, prepare(view(image), spec), spec=spec, device=device, cancelled=cancelled)
        return KeptLook(embedding=seen.embedding, presence=seen.presence)

    return looking


KIND = JobKind(
    name="look",
    description="Look at images so that they can be compared with each other",
    check=check,
    run=run,
)
