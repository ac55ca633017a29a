"""Which model made the drafts of an image, so that a correction of one is marked SEMIAUTOMATIC and names its model."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CarinaError
from .store import AnnotationStore

_LOG = logging.getLogger(__name__)
_PREFIX, _AT = "draft:", "@"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The newest draft of an image, or of a place in it, by one task.

    Attributes:
        task: Whose.
        model_version: Version that drew it.
        model_sha256: Hash of its weights.
        at: Unix time.
        prediction: Of a task of findings, as `infers.classification` tells them; else empty.
        measurements: What was measured on the image with it, as `Measurement.to_json` gives it.
        place: The part of the image it is about, as lists of voxel indices; None for all of it.
    """

    task: str
    model_version: str
    model_sha256: str | None
    at: float
    prediction: tuple[Mapping[str, Any], ...] = ()
    measurements: tuple[Mapping[str, Any], ...] = ()
    place: Any = None


def remember_draft(
    annotations: AnnotationStore, image_id: str, *, task: str, params: Mapping[str, Any], user: str | None = None
) -> None:
    """Note a draft among the image's notes, and that its case has one; failing to is logged and no reason to fail.

    Each task, and each place it was asked about, has its own key, so two drafts do not overwrite each other.

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
    note = _note(version, params.get("model_sha256"), params.get("prediction"))
    note |= {key: params[key] for key in ("measurements", "place") if params.get(key)}
    key = _PREFIX + task + (f"{_AT}{json.dumps(params['place'])}" if params.get("place") else "")
    try:
        annotations.note_draft(image_id, task=task, model_version=str(version), user=user, notes={key: note})
    except CarinaError as error:
        _LOG.warning("A draft by %s could not be noted: %s", task, error)


def keep_findings(
    annotations: AnnotationStore,
    predictions: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    task: str,
    model_version: str,
    model_sha256: str,
    user: str | None = None,
) -> None:
    """Keep what a model said of several images, all or nothing; the note is all there is of such a draft.

    Args:
        annotations: Where notes are kept.
        predictions: Image id → what was said of each finding.
        task: Which task said it.
        model_version: Version of its model.
        model_sha256: Hash of its weights.
        user: Who asked for it.

    Raises:
        StorageError: If the database cannot be written.
    """
    notes = {
        image_id: {_PREFIX + task: _note(model_version, model_sha256, prediction)}
        for image_id, prediction in predictions.items()
    }
    if notes:
        annotations.note_drafts(notes, task=task, model_version=model_version, user=user)


def drafts_of(annotations: AnnotationStore, image_id: str) -> list[Draft]:
    """The newest draft of each task and place, the latest last."""
    return drafts_in(annotations.image_info(image_id))


def drafts_in(info: Mapping[str, Any]) -> list[Draft]:
    """As `drafts_of`, from an image's notes."""
    found = [
        Draft(
            task=key.removeprefix(_PREFIX).partition(_AT)[0],
            model_version=note["version"],
            model_sha256=note["sha256"],
            at=note["at"],
            prediction=tuple(note.get("prediction", ())),
            measurements=tuple(note.get("measurements", ())),
            place=note.get("place"),
        )
        for key, note in info.items()
        if key.startswith(_PREFIX)
    ]
    return sorted(found, key=lambda draft: draft.at)


def without_drafts(info: Mapping[str, Any]) -> dict[str, Any]:
    """An image's notes as clients see them."""
    return {key: value for key, value in info.items() if not key.startswith(_PREFIX)}


def _note(version: object, sha256: object, prediction: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    note: dict[str, Any] = {"version": version, "sha256": sha256, "at": time.time()}
    return note if prediction is None else {**note, "prediction": list(prediction)}
