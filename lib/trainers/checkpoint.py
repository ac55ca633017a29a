"""Where a training stands, so that a restarted one goes on: one safetensors file, replaced atomically each epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_NETWORK, _BEST, _OPTIMISER = "network/", "best/", "optimiser/"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The end of an epoch.

    Attributes:
        identity: Hash over task, options, parent and cases; a checkpoint of another training is not resumed.
        state: JSON-able: epochs done, best epoch and score, history, loss scale.
        network: State dict.
        best: State dict of the best epoch.
        optimiser: `<parameter number>/<name>` → tensor.
    """

    identity: str
    state: Mapping[str, Any]
    network: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]

    def save(self, path: Path) -> None:
        """Write the file, complete or not at all."""
        groups = ((_NETWORK, self.network), (_BEST, self.best), (_OPTIMISER, self.optimiser))
        tensors = {
            prefix + name: tensor.detach().cpu().contiguous().clone()
            for prefix, group in groups
            for name, tensor in group.items()
        }
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        save_file(tensors, str(temporary), metadata={"identity": self.identity, "state": json.dumps(self.state)})
        temporary.replace(path)


def load_checkpoint(path: Path, *, identity: str) -> Checkpoint | None:
    """The checkpoint of that training; None if there is none, or it is damaged or another training's."""
    if not path.is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {_NETWORK: {}, _BEST: {}, _OPTIMISER: {}}
    try:
        with safe_open(str(path), framework="pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("identity") != identity:
                return None
            for key in stored.keys():  # noqa: SIM118 — not a dict
                group, _, name = key.partition("/")
                groups[group + "/"][name] = stored.get_tensor(key)
    except (SafetensorError, OSError):
        return None
    return Checkpoint(
        identity=identity,
        state=json.loads(metadata["state"]),
        network=groups[_NETWORK],
        best=groups[_BEST],
        optimiser=groups[_OPTIMISER],
    )


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
