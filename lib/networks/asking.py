"""How a network is asked: what it gives as a list, and with one of its settings changed for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def outputs_of(given: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """What a network gives, the finest first: most give one, some in training one for each of several levels."""
    return list(given) if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]


@contextmanager
def holding(network: nn.Module, setting: str, value: int) -> Iterator[None]:
    """Within it a setting, an attribute of a network, has another value."""
    before = getattr(network, setting)
    setattr(network, setting, value)
    try:
        yield
    finally:
        setattr(network, setting, before)
