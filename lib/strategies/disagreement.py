"""The images whose answer does not stand a disturbance of the image or of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import by_score, percent

_NEEDS = Needs(scores=("tta", "bald"))


@dataclass(frozen=True)
class Disagreement:
    """Ranks by test-time augmentation, or where there is only that by MC dropout (BALD)."""

    name: str = "disagreement"
    description: str = "The image whose draft changes most when the model is disturbed"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        return by_score(pool, methods=self.needs.scores, count=count, seed=seed, because=_because)


def _because(share: float) -> str:
    return f"Its draft stands a disturbance less well than {percent(share)} of the pool"


STRATEGY = Disagreement()
