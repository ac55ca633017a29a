"""What a training that starts from an earlier version takes over from it, and what is new to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..models.version import ModelVersion
from ..task import TrainerOptions
from .cases import LabelledImage

SERVED, NOTHING = "served", "nothing"
"""What a training may start from, besides a version by its name."""


def new_cases(training: Sequence[LabelledImage], parent: ModelVersion | None) -> frozenset[str]:
    """Images whose label the parent has not learned: that were not there, or were labelled otherwise.

    All of them where there is no parent, or one whose training is not known, such as an imported one.
    """
    learned = (
        set()
        if parent is None
        else {(case["image_id"], case["revision"]) for case in parent.data.get("cases", ()) if case["part"] == "train"}
    )
    return frozenset(case.image_id for case in training if (case.image_id, case.revision) not in learned)


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


def trained_labels(version: ModelVersion) -> tuple[str, ...]:
    """Labels a version was ever trained on; all of them for a version from elsewhere."""
    return tuple(version.data.get("trained_labels", version.labels))
