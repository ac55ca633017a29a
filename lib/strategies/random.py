"""Random unlabelled images, rather ones that were not offered lately: the baseline every strategy is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import NO_NEEDS, NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import drawn


@dataclass(frozen=True)
class Random:
    """Draws with a weight that grows with the time since the image was last offered."""

    name: str = "random"
    description: str = "A random unlabelled image, rather one that was not offered lately"
    needs: Needs = NO_NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`. An image that was just offered can still come, with a small weight."""
        return drawn(pool, count=count, seed=seed, reason="Drawn at random.", now=now)


STRATEGY = Random()
