"""How unlike the labels its model learned from a draft looks (`models.plausibility`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Implausibility:
    """The oddest structure of the draft: its pieces, holes, side, size, shape or place.

    Unlike doubt it finds what a network is sure of and wrong about. It is one minus the draft's plausibility.
    """

    name: str = "plausibility"
    description: str = "How unlike the labels learned from the draft looks: 0 as they do, 1 not at all"
    sampling: Sampling = "drawing"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where nothing was drawn and nothing is missed."""
        return max((float(odd.max()) for odd in parts if odd.numel()), default=0.0)


METHOD = Implausibility()
