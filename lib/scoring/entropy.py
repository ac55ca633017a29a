"""How unsure the network is, voxel by voxel, where it may be looking at a structure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .foreground import entropy_of, mean_where_unsure
from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Entropy:
    """Mean entropy of the class probabilities, as a share of its maximum (Settles, Active Learning, 2009, 3.1).

    Probabilities of networks are not calibrated, so scores of two model versions must not be compared with each other.
    """

    name: str = "entropy"
    description: str = "How unsure the model is where it may see a structure: 0 sure, 1 knows nothing"
    sampling: Sampling = "once"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        shares = (logits.float().softmax(dim=0) for logits in parts)
        return mean_where_unsure((share, entropy_of(share) / math.log(len(share))) for share in shares)


METHOD = Entropy()
