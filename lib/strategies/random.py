"""A random unlabelled image, rather one that was not offered lately: the baseline every strategy is compared with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .port import Candidate, Choice


@dataclass(frozen=True)
class Random:
    """Draws with a weight that grows with the time since the image was last offered."""

    name: str = "random"
    description: str = "A random unlabelled image, rather one that was not offered lately"
    generator: random.Random = field(default_factory=random.SystemRandom, repr=False, compare=False)

    def choose(self, pool: Sequence[Candidate], *, now: float) -> Choice | None:
        """See `Strategy.choose`. An image that was just offered can still come, with a small weight."""
        if not pool:
            return None
        ordered = sorted(pool, key=lambda candidate: candidate.image_id)
        weights = [max(1.0, now - candidate.last_offered) for candidate in ordered]
        (index,) = self.generator.choices(range(len(ordered)), weights=weights)
        return Choice(image_id=ordered[index].image_id, weight=weights[index])


STRATEGY = Random()
