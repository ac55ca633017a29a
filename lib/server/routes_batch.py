"""Batch inference: `/batch/infer`, as MONAI Label's clients call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body

from ..errors import InvalidInputError
from ..jobs.images import ALL, UNLABELLED
from ..jobs.infer import KIND
from .background import status, stop, task_dictionary
from .inputs import refuse_reserved, text_of
from .wiring import ServicesOf

router = APIRouter(prefix="/batch/infer", tags=["Inference"])

_IMAGES = {"all": ALL, "unlabeled": UNLABELLED, "unlabelled": UNLABELLED}
# MONAI Label's parameters that need nothing here: a batch has one process, and its drafts are always kept.
_IGNORED = frozenset(
    {"client_id", "enqueue", "gpus", "logging", "max_workers", "model", "multi_gpu", "run_sync", "save_label", "user"}
)
_TRANSLATED = frozenset({"images", "label_tag", "max_batch_size", "device"})


@router.get("")
def batch_status(services: ServicesOf, all: bool = False, check_if_running: bool = False) -> Any:  # noqa: A002
    """The newest batch inference, all of them, or 404 when none runs (or ever ran)."""
    return status(services, KIND.name, all_of_them=all, check_if_running=check_if_running)


@router.post("/{model}")
def batch_start(
    services: ServicesOf, model: str, images: str = "all", params: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """Draft many images in a process of its own; the drafts are kept with the tag `original`."""
    given = params or {}
    user = text_of(given, "user") or text_of(given, "client_id")
    request = {"task": services.tasks.get(model).name, "options": batch_options(images, given)}
    return task_dictionary(services, services.jobs.start(KIND.name, request, user=user))


@router.delete("")
def batch_stop(services: ServicesOf) -> dict[str, Any]:
    """Stop the batch inference that runs, and those that wait."""
    return stop(services, KIND.name)


def batch_options(images: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an `infer` job in place of MONAI Label's parameters.

    Args:
        images: `all`, `unlabeled`, or ids with commas.
        params: The body; `images` in it may be a list of ids. `max_batch_size` limits their number, 0 does not.

    Raises:
        InvalidInputError: If labelled images are asked for, or a tag other than `original`.
        UnsafeIdError: If a reserved key is set.
    """
    refuse_reserved({name: value for name, value in params.items() if name not in _IGNORED})
    wanted = params.get("images") or images
    if wanted == "labeled":
        raise InvalidInputError(
            "A batch inference must draft images without a person's label, got images=labeled. "
            "Ask for unlabeled, or for all: those that are labelled are passed over."
        )
    if params.get("label_tag", "original") != "original":
        raise InvalidInputError("The drafts of a batch inference must have the tag 'original'. Leave label_tag out.")
    options = {name: value for name, value in params.items() if name not in {*_IGNORED, *_TRANSLATED}}
    if isinstance(wanted, str):
        options["images"] = _IMAGES.get(wanted) or [image for image in wanted.split(",") if image]
    else:
        options["images"] = wanted
    if params.get("max_batch_size"):
        options["limit"] = params["max_batch_size"]
    device = params.get("device")
    if device:
        options["device"] = "auto" if device == "cuda" else device  # "cuda" is their default, on any machine
    return options
