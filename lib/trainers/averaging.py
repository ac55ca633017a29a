"""An exponential moving average of a network's weights, which often draws better than any single step's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

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
        self._averaged = {name: value.clone() for name, value in moving_tensors(network).items()}

    def update(self, steps: int) -> None:
        """Take in the weights after so many steps."""
        follow(self._averaged.values(), moving_tensors(self._network).values(), decay=self._decay, steps=steps)

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


def follow(averaged: Iterable[Tensor], weights: Iterable[Tensor], *, decay: float, steps: int) -> None:
    """Move averages towards weights in place; the first steps count for more than the decay says."""
    decay = min(decay, (1 + steps) / (10 + steps))
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged), list(weights), 1 - decay)


def moving_tensors(network: nn.Module) -> dict[str, Tensor]:
    """What is averaged: every floating-point tensor by its name, each storage once."""
    seen: set[int] = set()
    found = {}
    for name, value in network.state_dict().items():
        if value.is_floating_point() and value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            found[name] = value
    return found
