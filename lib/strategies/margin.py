"""The images where a model hesitates between two answers (Scheffer et al., IDA 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import by_score, percent

_NEEDS = Needs(scores=("margin",))


@dataclass(frozen=True)
class Margin:
    """Ranks by how close the second class comes to the first."""

    name: str = "margin"
    description: str = "The image where the model hesitates most between two structures"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        return by_score(pool, methods=self.needs.scores, count=count, seed=seed, because=_because)


def _because(share: float) -> str:
    return f"The model hesitates between two answers more than in {percent(share)} of the pool"


STRATEGY = Margin()
