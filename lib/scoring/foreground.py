"""Means over the voxels of an image where a network may be looking at a structure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SURELY_BACKGROUND = 0.99


def mean_where_unsure(parts: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean of a value over the voxels that are not background with more than 99 %.

    Air around a patient says nothing, and would make images with much of it look easy.

    Args:
        parts: `(classes, x, y, z)` probabilities, class 0 the background, and `(x, y, z)` the value.

    Returns:
        The mean; 0 where everything is surely background.
    """
    total, voxels = 0.0, 0
    for probabilities, value in parts:
        counted = probabilities[0] <= _SURELY_BACKGROUND
        total += float(value[counted].double().sum())
        voxels += int(counted.sum())
    return min(1.0, max(0.0, total / voxels)) if voxels else 0.0


def entropy_of(probabilities: Tensor) -> Tensor:
    """`(…, x, y, z)` entropy of `(…, classes, x, y, z)` probabilities, in nats."""
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(dim=-4)
