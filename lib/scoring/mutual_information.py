"""Disagreement of several answers: the entropy of their mean, less the mean of their entropies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .foreground import entropy_of, mean_where_unsure
from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MutualInformation:
    """Mean mutual information of answer and sample, as a share of its maximum, where a structure may be.

    Attributes:
        name: See `ScoringMethod.name`.
        description: See `ScoringMethod.description`.
        sampling: Where the answers come from.
    """

    name: str
    description: str
    sampling: Sampling

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        return mean_where_unsure(_one(logits.float().softmax(dim=1)) for logits in parts)


def _one(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    mean = probabilities.mean(dim=0)
    difference = entropy_of(mean) - entropy_of(probabilities).mean(dim=0)
    return mean, difference / math.log(len(mean))
