"""The images least like any labelled one: k-centre, greedily (Sener & Savarese, arXiv:1708.00489)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import drawn, percent
from .space import Space, middle, space_of, to_nearest, to_one

_NEEDS = Needs(embedding=True)


@dataclass(frozen=True)
class Coverage:
    """Each choice lies furthest from all that is labelled, held or chosen before it."""

    name: str = "coverage"
    description: str = "The image least like any labelled one"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        space = space_of(pool, knowledge)
        walk = Walk(space)
        choices: list[Choice] = []
        while len(choices) < min(count, len(space.members)):
            index, distance = walk.furthest()
            walk.take(index)
            reason = "The most typical image of all, to begin with." if np.isinf(distance) else walk.because(distance)
            weight = 1.0 if np.isinf(distance) else distance
            choices.append(Choice(image_id=space.members[index].image_id, weight=weight, reason=reason))
        taken = {choice.image_id for choice in choices}
        rest = [candidate for candidate in pool if candidate.image_id not in taken]
        return choices + drawn(
            rest, count=count - len(choices), seed=seed, reason="Drawn at random: not compared with the others yet."
        )


class Walk:
    """Takes one image after the other, each time knowing how far every image is from all that is covered.

    Args:
        space: Whose `known` images are covered from the beginning.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self.distances = to_nearest(space.points, space.known)
        self._taken = np.zeros(len(space.members), bool)

    def furthest(self, weights: NDArray[np.float64] | None = None) -> tuple[int, float]:
        """Which image lies furthest, its distance times a weight where weights are given, and the plain distance.

        Where nothing is covered yet, the image nearest to the middle, at an infinite distance.
        """
        if np.isinf(self.distances).all():
            return middle(self._space.points), float("inf")
        wanted = self.distances.astype(np.float64) * (1.0 if weights is None else weights)
        index = int(np.where(self._taken, -1.0, wanted).argmax())
        return index, float(self.distances[index])

    def take(self, index: int) -> None:
        """Cover an image."""
        self._taken[index] = True
        np.minimum(self.distances, to_one(self._space.points, self._space.points[index]), out=self.distances)

    def because(self, distance: float) -> str:
        """Why the image just taken: how many of those that are left lie nearer."""
        left = self.distances[~self._taken]
        if not len(left):
            return "The only image left of the pool."
        return f"Less like any labelled image than {percent(float((left < distance).mean()))} of the pool."


STRATEGY = Coverage()
