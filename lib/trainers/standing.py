"""Where a training stands within its epochs: what a checkpoint keeps besides weights, random numbers included."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step, told as it is done.

    Attributes:
        epoch: From 1.
        step: Within the epoch, from 1.
        steps: Of each epoch.
        loss: Of its batch.
        device: Where it ran, such as `cuda:0`.
        device_memory_mib: Most that was allocated there so far; None on a CPU.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    device: str
    device_memory_mib: float | None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: From 1.
        loss: Mean over its steps.
        dice: Mean validation Dice over labels; None where no label is defined. Of a classification the AUROC.
        per_label: The same per label, None where undefined.
        seconds: Including validation; of all processes that worked on it.
        averaged: Whether these are the values of the weights' moving average, because they were better.
    """

    number: int
    loss: float
    dice: float | None
    per_label: Mapping[str, float | None]
    seconds: float
    averaged: bool = False


class Randomness:
    """The random numbers of one epoch; they depend on seed and epoch alone, so an epoch is the same wherever it starts.

    Attributes:
        patches: Chooses patches.
        changes: Chooses what augmentation does.
    """

    def __init__(self, seed: int, epoch: int) -> None:
        self.patches = np.random.default_rng([seed, epoch])
        self._seed = _torch_seed(seed, epoch)
        self.changes = torch.Generator().manual_seed(self._seed)

    def numbers(self) -> dict[str, Any]:
        """NumPy's part, JSON-able."""
        return dict(self.patches.bit_generator.state)

    def tensors(self) -> dict[str, Tensor]:
        """The part of torch: the own generator, and the global ones of CPU and CUDA, which dropout draws from."""
        return {"changes": self.changes.get_state(), "cpu": torch.get_rng_state()} | {
            f"cuda:{number}": state for number, state in enumerate(_cuda_states())
        }

    def apart(self, rank: int, done: int) -> None:
        """Go on with numbers that belong to one process and one step; which patches there are stays common to all.

        Args:
            rank: Number of the process.
            done: Steps before this one, of all epochs.
        """
        seed = int(np.random.SeedSequence([self._seed, rank, done]).generate_state(1)[0])
        self.changes.manual_seed(seed)
        torch.manual_seed(seed)

    def put_back(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on where `numbers` and `tensors` were taken; CUDA's only if there are as many devices."""
        self.patches.bit_generator.state = dict(numbers)
        self.changes.set_state(tensors["changes"])
        torch.set_rng_state(tensors["cpu"])
        states = [state for name, state in tensors.items() if name.startswith("cuda:")]
        if states and len(states) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states)


@contextlib.contextmanager
def seeded(seed: int, epoch: int) -> Iterator[Randomness]:
    """Random numbers of one epoch; torch's global ones are put back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(_torch_seed(seed, epoch))
        yield Randomness(seed, epoch)


@dataclass(kw_only=True)
class Standing:
    """What changes while a training runs.

    Attributes:
        batch_size: Halved when memory ran out.
        best_state: Weights of the best epoch.
        best_epoch: Its number, 0 before the first.
        best_score: Its mean validation Dice, or minus its loss where no Dice is defined.
        history: Finished epochs.
        losses: Of the steps done in the epoch under way.
        seconds: Spent on that epoch by earlier processes.
        random: That epoch's numbers as they were when a checkpoint was written; None at its beginning.
    """

    batch_size: int
    best_state: Mapping[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    random: tuple[Mapping[str, Any], Mapping[str, Tensor]] | None = None

    @property
    def number(self) -> int:
        """Of the epoch under way, from 1."""
        return len(self.history) + 1

    def to_json(self) -> dict[str, Any]:
        """Everything but tensors."""
        return {
            "batch_size": self.batch_size,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "history": [asdict(epoch) for epoch in self.history],
            "losses": self.losses,
            "seconds": self.seconds,
            "random": None if self.random is None else self.random[0],
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], *, best: Mapping[str, Tensor], random: Mapping[str, Tensor]
    ) -> Standing:
        """Undo `to_json`."""
        numbers = content["random"]
        return cls(
            batch_size=content["batch_size"],
            best_state=best,
            best_epoch=content["best_epoch"],
            best_score=content["best_score"],
            history=[Epoch(**row) for row in content["history"]],
            losses=list(content["losses"]),
            seconds=content["seconds"],
            random=None if numbers is None else (numbers, random),
        )


def _torch_seed(seed: int, epoch: int) -> int:
    return seed * 100_003 + epoch


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
