"""How close the second answer of the network comes to the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .foreground import mean_where_unsure
from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Margin:
    """One minus the mean difference of the two highest probabilities (Scheffer et al., IDA 2001)."""

    name: str = "margin"
    description: str = "How much the model hesitates between two answers: 0 not at all, 1 they are equal"
    sampling: Sampling = "once"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        shares = (logits.float().softmax(dim=0) for logits in parts)
        return mean_where_unsure((share, 1 - _difference(share)) for share in shares)


def _difference(probabilities: Tensor) -> Tensor:
    best = probabilities.topk(2, dim=0).values
    return best[0] - best[1]


METHOD = Margin()
