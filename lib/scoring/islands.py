"""How much of a draft lies in islands: where a network meets what it does not know, it draws bits of what it knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Islands:
    """The share of all that is drawn which lies outside the largest piece of its structure.

    It needs no labels to compare with, and finds images with a structure that no label has shown yet better than doubt
    does, which is spread over all borders.
    """

    name: str = "islands"
    description: str = "How much of the draft lies apart from the largest piece of its structure: 0 nothing, 1 all"
    sampling: Sampling = "pieces"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where nothing was drawn."""
        drawn = apart = 0.0
        for volumes in parts:
            of_all, of_islands = volumes.double().reshape(-1, 2).sum(dim=0).tolist()
            drawn, apart = drawn + of_all, apart + of_islands
        return min(1.0, apart / drawn) if drawn else 0.0


METHOD = Islands()
