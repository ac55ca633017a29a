"""Trainer options from a request: every field of `TrainerOptions` by its name, checked at the edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..task import LOSSES, TaskSpec, TrainerOptions

_MAY_BE_ZERO = frozenset(
    {
        "weight_decay",
        "validation_fraction",
        "holdout_fraction",
        "gate_margin",
        "augmentation",
        "seed",
        "new_share",
        "ema",
        "sharpness",
        "unlabelled_weight",
        "head_epochs",
        "class_weights",
        "mixup",
    }
)
_MOST = {
    "new_share": 1.0,
    "warm_share": 1.0,
    "trial_share": 1.0,
    "layer_decay": 1.0,
    "class_weights": 1.0,
    "ema": 0.9999,
    "processes": 64,
}


def override(options: TrainerOptions, values: Mapping[str, object]) -> TrainerOptions:
    """Replace some of a task's trainer options.

    Args:
        options: The task's.
        values: Field name → number, number as text, for `patch_voxels` three whole numbers (also `96,96,96`), for
            `loss` its name.

    Raises:
        InvalidInputError: If a name is unknown, or a value is not a number or out of range.
    """
    names = [field.name for field in dataclasses.fields(TrainerOptions)]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise InvalidInputError(f"Trainer option '{name}' is not known.{did_you_mean(name, names, shown=20)}")
        changes[name] = _parse(name, value, like=getattr(options, name))
    return dataclasses.replace(options, **changes)


def check_options(spec: TaskSpec, options: TrainerOptions) -> None:
    """Refuse options that mean nothing for a task, or contradict each other.

    Raises:
        InvalidInputError: If there is one.
    """
    if options.unlabelled_weight and spec.kind != "segmentation":
        raise no_pool(spec)
    check_parts(options, options.processes)
    known = LOSSES.get(spec.kind, ())
    if options.loss and options.loss not in known:
        raise InvalidInputError(
            f"The loss of a task of kind '{spec.kind}' must be one of its own, got '{options.loss[:32]}'."
            f"{did_you_mean(options.loss, known)}"
        )
    for name in ("class_weights", "mixup"):
        if getattr(options, name) and not spec.of_whole_images:
            raise InvalidInputError(f"Option {name} must be 0 for a task that draws, as '{spec.name}'. Leave it out.")


def check_parts(options: TrainerOptions, processes: int) -> None:
    """Refuse batches that are too small to be shared.

    Raises:
        InvalidInputError: If there are fewer patches than processes.
    """
    if options.batch_size < processes:
        raise InvalidInputError(
            f"Trainer option 'batch_size' must be at least the number of processes, {processes}, got "
            f"{options.batch_size}. Each works on a part of every batch: ask for more patches, or for fewer processes."
        )


def no_pool(spec: TaskSpec) -> InvalidInputError:
    """What is said of a task that learns nothing from images without labels."""
    return InvalidInputError(
        f"Option unlabelled_weight must be 0 for a task of kind '{spec.kind}', got more for '{spec.name}'. Leave it "
        f"out: only segmentations learn from images without labels."
    )


def _parse(name: str, value: object, *, like: object) -> object:
    if isinstance(like, str):
        return "" if value is None else str(value)
    if isinstance(like, tuple):
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Sequence) or len(parts) != len(like):
            raise InvalidInputError(f"Trainer option '{name}' must have {len(like)} sizes, got {value!r}.")
        return tuple(_number(name, part, whole=True) for part in parts)
    return _number(name, value, whole=isinstance(like, int))


def _number(name: str, value: object, *, whole: bool) -> float | int:
    kind = "a whole number" if whole else "a number"
    try:
        number = float(str(value))
    except ValueError as error:
        raise InvalidInputError(f"Trainer option '{name}' must be {kind}, got {value!r}.") from error
    lowest_allowed = number > 0 or (number == 0 and name in _MAY_BE_ZERO)
    if not lowest_allowed or number == float("inf") or (whole and number != int(number)):
        limit = "at least 0" if name in _MAY_BE_ZERO else "above 0"
        raise InvalidInputError(f"Trainer option '{name}' must be {kind} {limit}, got {value!r}.")
    if number > _MOST.get(name, number):
        raise InvalidInputError(f"Trainer option '{name}' must be at most {_MOST[name]:g}, got {value!r}.")
    return int(number) if whole else number
