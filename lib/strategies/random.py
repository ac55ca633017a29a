"""Random unlabelled images, rather ones that were not offered lately: the baseline every strategy is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .port import NO_NEEDS, NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import shuffled


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
        mixed = shuffled(pool, seed)
        weights = np.array([max(1.0, now - candidate.last_offered) for candidate in mixed])
        # The smallest of exponential times, each divided by its weight, are a draw without replacement by weight
        # (Efraimidis & Spirakis, doi:10.1016/j.ipl.2005.11.003).
        times = np.random.default_rng([seed, 1]).exponential(size=len(mixed)) / weights
        return [
            Choice(image_id=mixed[index].image_id, weight=float(weights[index]), reason="Drawn at random.")
            for index in np.argsort(times, kind="stable")[:count]
        ]


STRATEGY = Random()
