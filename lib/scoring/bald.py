"""How much several answers of a network disagree while its dropout layers are at work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .mutual_information import mutual_information
from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Bald:
    """BALD (Houlsby et al., arXiv:1112.5745) by MC dropout (Gal et al., arXiv:1703.02910)."""

    name: str = "bald"
    description: str = "How much the answers differ with parts of the network left out; it must have dropout layers"
    sampling: Sampling = "dropout"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        return mutual_information(parts)


METHOD = Bald()
