"""The images where a model hesitates between two answers (Scheffer et al., IDA 2001)."""

from __future__ import annotations

from .port import Needs
from .ranking import ByScore

STRATEGY = ByScore(
    name="margin",
    description="The image where the model hesitates most between two structures",
    needs=Needs(scores=("margin",)),
    because="The model hesitates between two answers more than in {share} of the pool",
)
