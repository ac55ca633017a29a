"""What a client may set for a training: carina's options by name, MONAI Label's by theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..networks.devices import device_name
from ..task import TaskSpec, TrainerOptions
from ..trainers.options import check_options, override
from ..trainers.warm_start import NOTHING, SERVED

_OPTIONS = frozenset(field.name for field in fields(TrainerOptions))

# MONAI Label's name -> ours (monailabel 0.8.5, tasks/train/basic_train.py).
_MAPPED = {
    "train_batch_size": "batch_size",
    "val_split": "validation_fraction",
    "early_stop_patience": "patience_epochs",
}
# MONAI Label clients send these with every training. They choose how stock trainers work inside, or name the request;
# nothing here depends on them.
_IGNORED = frozenset(
    {
        "bundle_path",
        "client_id",
        "dataloader",
        "dataset",
        "enqueue",
        "gpus",
        "local_rank",
        "model",
        "multi_gpu",
        "name",
        "run_sync",
        "tracking",
        "tracking_experiment_name",
        "tracking_uri",
        "user",
        "val_batch_size",
        "world_size",
    }
)
_DEVICE = "device"
_START = "start_from"
_PRETRAINED = "pretrained"
_READERS = "readers"
_ELSEWHERE = frozenset({_DEVICE, _START, _PRETRAINED, _READERS})

NEWEST, EVERY = "newest", "all"


def parse_options(spec: TaskSpec, request: Mapping[str, Any]) -> TrainerOptions:
    """A task's trainer options with what a request changes in them.

    Args:
        spec: The task; keys of its `config` may come back from clients and are passed over.
        request: Option → value. Where both of a pair are given, carina's own name wins over MONAI Label's.

    Raises:
        InvalidInputError: If a key is unknown or a value does not fit.
    """
    changes: dict[str, Any] = {}
    for name, value in request.items():
        if name in _OPTIONS or name in _IGNORED or name in spec.config or name in _ELSEWHERE:
            continue
        if name not in _MAPPED:
            known = {*_OPTIONS, *_MAPPED, _DEVICE, _START, _READERS}
            raise InvalidInputError(f"Training option '{name[:64]}' is not known.{did_you_mean(name, known, shown=20)}")
        if (name, value) != ("early_stop_patience", -1):  # MONAI Label's "never stop early"
            changes[_MAPPED[name]] = value
    if request.get("early_stop_patience") == -1:
        changes["patience_epochs"] = request.get("max_epochs", spec.trainer.max_epochs)
    changes |= {name: value for name, value in request.items() if name in _OPTIONS}
    options = override(spec.trainer, changes)
    check_options(spec, options)
    kept = options.validation_fraction + options.holdout_fraction
    if kept >= 1:
        raise InvalidInputError(
            f"Validation and holdout must leave patients to train on, got shares of {kept:g} in all. Lower them."
        )
    return options


def parse_device(request: Mapping[str, Any]) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:<n>`; `auto` when the request does not say.

    Raises:
        InvalidInputError: If it is anything else.
    """
    return device_name(request.get(_DEVICE))


def parse_start(request: Mapping[str, Any]) -> str:
    """Which weights a training starts from: `served`, `nothing`, `auto`, or a version such as `v3`.

    MONAI Label's `pretrained` says the same as yes or no; carina's own name wins over it.

    Raises:
        InvalidInputError: If it is no text, or `pretrained` neither yes nor no.
    """
    start = request.get(_START)
    if start is not None:
        if not isinstance(start, str) or not start:
            raise InvalidInputError(
                f"Option start_from must be served, nothing, auto or a version, got {str(start)[:32]!r}."
            )
        return start
    pretrained = str(request.get(_PRETRAINED, True)).lower()
    if pretrained not in ("true", "false"):
        raise InvalidInputError(f"Option pretrained must be true or false, got {pretrained[:32]!r}.")
    return SERVED if pretrained == "true" else NOTHING


def parse_readers(spec: TaskSpec, request: Mapping[str, Any]) -> bool:
    """Whether every reader's newest label of an image counts (`all`), or the newest alone (`newest`, the default).

    Raises:
        InvalidInputError: If it is anything else, or `all` for a task that tells findings.
    """
    readers = request.get(_READERS, NEWEST)
    if readers not in (NEWEST, EVERY):
        raise InvalidInputError(f"Option readers must be {NEWEST} or {EVERY}, got {str(readers)[:32]!r}.")
    if readers == EVERY and spec.of_whole_images:
        raise InvalidInputError(
            f"Option readers must be {NEWEST} for '{spec.name}', which tells findings, got {EVERY}. Leave it out."
        )
    return bool(readers == EVERY)
