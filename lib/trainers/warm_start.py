"""What a training that starts from an earlier version takes over from it, and what is new to it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from ..errors import InvalidInputError
from ..models.store import ModelStore
from ..models.version import PRETRAINED, ModelVersion
from ..task import TaskSpec, TrainerOptions
from .cases import LabelledImage

_log = logging.getLogger(__name__)

SERVED, NOTHING, AUTO = "served", "nothing", "auto"
"""What a training may start from, besides a version by its name; `auto` tries what is served and nothing."""


def either(version: str) -> str:
    """A start that tries a version, or what is `served`, and nothing."""
    return f"{AUTO}:{version}"


def tried(start_from: str) -> tuple[str, bool]:
    """What to start from, and whether to try random weights as well.

    Args:
        start_from: `served`, `nothing`, a version, `auto`, or what `either` gives.
    """
    kind, colon, version = start_from.partition(":")
    return (version if colon else SERVED, True) if kind == AUTO else (start_from, False)


def parent_of(models: ModelStore, spec: TaskSpec, start_from: str) -> ModelVersion | None:
    """The version a training starts from; None for random weights.

    Args:
        models: Where versions are.
        spec: The task.
        start_from: `served`, `nothing`, or a version.

    Raises:
        UnknownModelError: If there is no version of that name.
        InvalidInputError: If a version that was named does not fit the task as it is now.
    """
    if start_from == NOTHING:
        return None
    if start_from == SERVED:
        return served_parent(models, spec)
    version = models.get(spec.name, start_from)
    if version.fingerprint != spec.fingerprint():
        raise InvalidInputError(
            f"A training of '{spec.name}' must start from a version that fits it, got {version.version}, made for "
            f"other labels, another network, spacing or intensity rule. Name another version, or 'nothing'."
        )
    return version


def served_parent(models: ModelStore, spec: TaskSpec) -> ModelVersion | None:
    """The served version, unless it was made for another form of the task, which is said in the log."""
    served = models.served(spec.name)
    if served is None or served.fingerprint == spec.fingerprint():
        return served
    _log.warning(
        "The served version %s of '%s' was made for another form of the task: starting from random weights.",
        served.version,
        spec.name,
    )
    return None


def new_cases(training: Sequence[LabelledImage], parent: ModelVersion | None) -> frozenset[str]:
    """Images whose label the parent has not learned: that were not there, or were labelled otherwise.

    All of them where there is no parent, or one whose training is not known, such as an imported one.
    """
    learned = set(_learned(parent))
    return frozenset(case.image_id for case in training if (case.image_id, case.revision) not in learned)


def warn_of_measured(measured: Sequence[LabelledImage], parent: ModelVersion | None) -> None:
    """Say in the log which of the cases to measure on a parent has learned: that of a split kept elsewhere may have.

    Args:
        measured: Validation and holdout cases.
        parent: The version a training starts from.
    """
    learned = {image_id for image_id, _ in _learned(parent)}
    seen = [case.image_id for case in measured if case.image_id in learned]
    if parent is not None and seen:
        _log.warning(
            "%d of %d images to measure on were learned from by %s, which this training starts from: both look better "
            "on them than they are. Start from nothing.",
            len(seen), len(measured), parent.version,
        )  # fmt: skip


def _learned(parent: ModelVersion | None) -> list[tuple[str, str]]:
    """Ids and revisions of the images that a version was trained on, as far as that is known."""
    cases = () if parent is None else parent.data.get("cases", ())
    return [(case["image_id"], case["revision"]) for case in cases if case["part"] == "train"]


def warmed(options: TrainerOptions, *, new: int, of: int) -> TrainerOptions:
    """Options of a training that starts from an earlier version.

    Args:
        options: As they were asked for.
        new: How many of its training cases the earlier version has not learned.
        of: How many training cases there are.
    """
    share = max(options.warm_share, new / of)
    return replace(
        options,
        max_epochs=max(1, math.ceil(share * options.max_epochs)),
        learning_rate=share * options.learning_rate,
    )


def known_labels(parent: ModelVersion | None) -> tuple[str, ...] | None:
    """Labels that the weights a training starts from can draw; None for random ones, and for pretrained ones."""
    return None if parent is None or parent.source == PRETRAINED else trained_labels(parent)


def trained_labels(version: ModelVersion) -> tuple[str, ...]:
    """Labels a version was ever trained on; all of them for a version from elsewhere."""
    return tuple(version.data.get("trained_labels", version.labels))
