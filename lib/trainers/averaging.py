"""An exponential moving average of a network's weights, which often draws better than any single step's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .checkpoint import copy_state


class WeightAverage:
    """Follows the weights of one network (Polyak & Juditsky 1992; as in Tarvainen & Valpola, arXiv:1703.01780).

    The first steps count for less than the decay says, so that random weights are forgotten soon.

    Args:
        network: Whose weights it begins with.
        decay: Share of the average that a step leaves, below 1.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._averaged = {name: value.clone() for name, value in self._moving()}

    def update(self, steps: int) -> None:
        """Take in the weights after so many steps."""
        decay = min(self._decay, (1 + steps) / (10 + steps))
        with torch.no_grad():
            weights = [value for _, value in self._moving()]
            torch._foreach_lerp_(list(self._averaged.values()), weights, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network has the averaged weights."""
        own = copy_state(self._network)
        self._network.load_state_dict(self._averaged, strict=False)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def state(self) -> dict[str, Tensor]:
        """Name → averaged weight."""
        return dict(self._averaged)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state`."""
        for name, value in state.items():
            self._averaged[name].copy_(value)

    def _moving(self) -> list[tuple[str, Tensor]]:
        """What is averaged: every floating-point tensor, each storage once."""
        seen: set[int] = set()
        found = []
        for name, value in self._network.state_dict().items():
            if value.is_floating_point() and value.data_ptr() not in seen:
                seen.add(value.data_ptr())
                found.append((name, value))
        return found
