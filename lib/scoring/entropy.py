"""How unsure the network is, voxel by voxel, where it may be looking at a structure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SURELY_BACKGROUND = 0.99


@dataclass(frozen=True)
class Entropy:
    """Mean entropy of the class probabilities, as a share of its maximum (Settles, Active Learning, 2009, 3.1).

    Voxels that are background with more than 99 % are left out: air around a patient says nothing, and would make
    images with much of it look easy. Probabilities of networks are not calibrated, so scores of two model versions
    must not be compared with each other.
    """

    name: str = "entropy"
    description: str = "How unsure the model is where it may see a structure: 0 sure, 1 knows nothing"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        total, voxels, classes = 0.0, 0, 2
        for logits in parts:
            logarithms = logits.float().log_softmax(dim=0)
            probabilities = logarithms.exp()
            entropy = -(probabilities * logarithms).sum(dim=0)
            counted = probabilities[0] <= _SURELY_BACKGROUND
            total += float(entropy[counted].double().sum())
            voxels += int(counted.sum())
            classes = len(logits)
        return min(1.0, total / (voxels * math.log(classes))) if voxels else 0.0


METHOD = Entropy()
