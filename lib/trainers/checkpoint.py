"""Where a training stands, so that a restarted one goes on: one safetensors file, replaced atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..models.files import sync
from ..models.weights import save_state

_FORMAT = "4"
_GROUPS = ("network", "best", "average", "optimiser", "teacher", "random")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training between two steps.

    Attributes:
        identity: Hash over task, options, parent and cases; a checkpoint of another training is not resumed.
        state: JSON-able: epochs and steps done, best epoch and score, history, losses so far, loss scale.
        network: State dict.
        best: State dict of the best epoch.
        average: Moving average of the weights; empty without one.
        optimiser: `<parameter number>/<name>` → tensor.
        teacher: Weights of the teacher that images without labels are shown to; empty without one.
        random: States of torch's random number generators; empty at the end of an epoch.
    """

    identity: str
    state: Mapping[str, Any]
    network: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    random: Mapping[str, Tensor]

    def save(self, path: Path) -> None:
        """Write the file, complete or not at all, and flush it: the machine may go down next.

        Raises:
            StorageError: If the disk is full or not writable; the file that was there stays.
        """
        tensors = {f"{group}/{name}": tensor for group in _GROUPS for name, tensor in getattr(self, group).items()}
        metadata = {"format": _FORMAT, "identity": self.identity, "state": json.dumps(self.state)}
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            save_state(temporary, tensors, metadata=metadata)
            sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def load_checkpoint(path: Path, *, identity: str) -> Checkpoint | None:
    """The checkpoint of that training; None if there is none, or it is damaged or another training's."""
    if not path.is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    try:
        with safe_open(str(path), framework="pt") as stored:
            metadata = stored.metadata() or {}
            if (metadata.get("format"), metadata.get("identity")) != (_FORMAT, identity):
                return None
            for key in stored.keys():  # noqa: SIM118 — not a dict
                group, _, name = key.partition("/")
                groups[group][name] = stored.get_tensor(key)
    except (SafetensorError, OSError):
        return None
    return Checkpoint(identity=identity, state=json.loads(metadata["state"]), **groups)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as a flat dict of tensors."""
    return {
        f"{number}/{name}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights on the CPU, detached from it."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
