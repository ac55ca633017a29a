"""The images a model is least sure about (Lewis & Gale, SIGIR 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import by_score, percent

_NEEDS = Needs(scores=("entropy",))


@dataclass(frozen=True)
class Uncertainty:
    """Ranks by the entropy of the class probabilities."""

    name: str = "uncertainty"
    description: str = "The image the model is least sure about, voxel by voxel"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        return by_score(pool, methods=self.needs.scores, count=count, seed=seed, because=_because)


def _because(share: float) -> str:
    return f"The model is less sure of it than of {percent(share)} of the pool"


STRATEGY = Uncertainty()
