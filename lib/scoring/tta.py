"""How much the answers of a network disagree about one image that is brighter, darker, flatter or noisier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .mutual_information import mutual_information
from .port import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Disagreement under test-time augmentation (Wang et al., doi:10.1016/j.neucom.2019.01.103); any network."""

    name: str = "tta"
    description: str = "How much the answers differ when brightness, contrast and noise of the image change"
    sampling: Sampling = "augmented"

    def score(self, parts: Iterable[Tensor]) -> float:
        """See `ScoringMethod.score`; 0 where everything is surely background."""
        return mutual_information(parts)


METHOD = TestTimeAugmentation()
