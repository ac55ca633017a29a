"""How a training talks with the other processes that work on it; one that works alone has nobody to talk to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from ..task import TaskSpec, TrainerOptions
from .lesson import Change, Sampler
from .loss import PartialLoss, own
from .patches import WHOLE


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a helping process is told before the first step; weights come apart from it.

    Attributes:
        spec: The task.
        build: Makes the network, whose weights are taken over.
        options: Of the training.
        sampler: Where batches come from.
        pool: Where patches without labels come from.
        loss: On the CPU.
        change: How batches are changed at random.
        batch_size: Of the whole batch.
        descent: `Descent.state()` of the leader.
        numbers: `Randomness.numbers()` within an epoch that is gone on with; None at its beginning.
    """

    spec: TaskSpec
    build: Callable[[TaskSpec], nn.Module]
    options: TrainerOptions
    sampler: Sampler
    pool: Sampler | None
    loss: PartialLoss
    change: Change
    batch_size: int
    descent: Mapping[str, Any]
    numbers: Mapping[str, Any] | None


class Peers(Protocol):
    """The processes of one training, seen from one of them."""

    @property
    def count(self) -> int:
        """How many there are, this one included."""
        ...

    def part(self, batch_size: int) -> slice:
        """Which of a batch this process works on."""
        ...

    def total(self, sums: Tensor) -> Tensor:
        """What all found in their parts, added up; see `loss.Total`."""
        ...

    def share(self, network: nn.Module) -> nn.Module:
        """The network with the leader's weights, whose gradients are averaged over all as they arise."""
        ...

    def brief(self, assignment: Callable[[], Assignment]) -> None:
        """Tell the helpers, if there are any, what they work on; the leader alone calls this."""
        ...

    def lead(self, epoch: int, done: int) -> None:
        """Have the helpers do the next step as well; the leader alone calls this.

        Args:
            epoch: Its number.
            done: Steps before it, of all epochs.
        """
        ...

    def rest(self) -> None:
        """Have the helpers wait for another briefing; the leader alone calls this, after the last step."""
        ...


class Alone:
    """The only process of a training."""

    count = 1

    def part(self, batch_size: int) -> slice:
        """All of it."""
        return WHOLE

    def total(self, sums: Tensor) -> Tensor:
        """What it found itself."""
        return own(sums)

    def share(self, network: nn.Module) -> nn.Module:
        """The network itself."""
        return network

    def brief(self, assignment: Callable[[], Assignment]) -> None:
        """Nobody to tell."""

    def lead(self, epoch: int, done: int) -> None:
        """Nobody to lead."""

    def rest(self) -> None:
        """Nobody to wait."""


ALONE = Alone()
