"""Which model made the drafts of an image, so that a correction of one is marked SEMIAUTOMATIC and names its model."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CarinaError
from .store import AnnotationStore

_LOG = logging.getLogger(__name__)
_PREFIX = "draft:"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The newest draft of an image by one task.

    Attributes:
        task: Whose.
        model_version: Version that drew it.
        model_sha256: Hash of its weights.
        at: Unix time.
        said: What it said of each finding, as the client was told; empty of a task that draws.
    """

    task: str
    model_version: str
    model_sha256: str | None
    at: float
    said: tuple[Mapping[str, Any], ...] = ()


def remember_draft(
    annotations: AnnotationStore, image_id: str, *, task: str, params: Mapping[str, Any], user: str | None = None
) -> None:
    """Note a draft among the image's notes, and that its case has one; failing to is logged and no reason to fail.

    Each task has its own key, so two drafts at once do not overwrite each other.

    Args:
        annotations: Where notes are kept.
        image_id: Of the datastore.
        task: Which task drew it.
        params: The inference's answer; without a `model_version` nothing is noted.
        user: Who asked for it.
    """
    version = params.get("model_version")
    if not version:
        return
    note = {"version": version, "sha256": params.get("model_sha256"), "at": time.time()}
    if params.get("prediction"):
        note["said"] = list(params["prediction"])
    try:
        annotations.note_draft(image_id, task=task, model_version=str(version), user=user, notes={_PREFIX + task: note})
    except CarinaError as error:
        _LOG.warning("A draft by %s could not be noted: %s", task, error)


def drafts_of(annotations: AnnotationStore, image_id: str) -> list[Draft]:
    """The newest draft of each task, the latest last."""
    found = [
        Draft(
            task=key.removeprefix(_PREFIX),
            model_version=note["version"],
            model_sha256=note["sha256"],
            at=note["at"],
            said=tuple(note.get("said", ())),
        )
        for key, note in annotations.image_info(image_id).items()
        if key.startswith(_PREFIX)
    ]
    return sorted(found, key=lambda draft: draft.at)


def without_drafts(info: Mapping[str, Any]) -> dict[str, Any]:
    """An image's notes as clients see them."""
    return {key: value for key, value in info.items() if not key.startswith(_PREFIX)}
