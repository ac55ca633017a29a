"""Images that stand for as many others as possible, without a model (ProbCover, Yehuda et al., arXiv:2205.11320)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .coverage import STRATEGY as COVERAGE
from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .space import Points, clusters, space_of, to_each, to_nearest

_PURITY = 0.95
_GROUPS = 12
_MOST_CENTRES = 512
"""Of a larger pool so many are drawn to choose from (stochastic greedy, Mirzasoleiman et al., arXiv:1409.7938)."""

_NEEDS = Needs(embedding=True)


@dataclass(frozen=True)
class ProbCover:
    """Each choice has the most images within one distance of it that no label covers yet.

    The distance is the largest at which 95 % of the images have only images of their own group within it; groups are
    those of k-means, as nobody knows the true ones. What is left when all are covered comes as `coverage` takes it.
    """

    name: str = "probcover"
    description: str = "The image that stands for most others that are like no labelled one; needs no model"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        space = space_of(pool, knowledge)
        choices: list[Choice] = []
        if len(space.members) > 1:
            centres = _drawn(len(space.members), seed)
            radius = _radius(space.points, centres, seed)
            within = to_each(space.points[centres], space.points) <= radius
            uncovered = to_nearest(space.points, space.known) > radius
            while len(choices) < count and uncovered.any():
                covers = np.count_nonzero(within & uncovered, axis=1)
                best = int(covers.argmax())
                most = int(covers[best])
                if not most:
                    break
                uncovered &= ~within[best]
                member = space.members[centres[best]]
                choices.append(Choice(image_id=member.image_id, weight=float(most), reason=_reason(most)))
        return choices + _others(pool, choices, knowledge, count=count, seed=seed, now=now)


def _reason(covers: int) -> str:
    if covers == 1:
        return "Like no labelled image, nor any other."
    return f"Stands for {covers} similar images, itself among them, that are like no labelled one."


def _drawn(count: int, seed: int) -> NDArray[np.int64]:
    """Which of so many members may be chosen, in their order."""
    if count <= _MOST_CENTRES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _MOST_CENTRES, replace=False))


def _radius(points: Points, asked: NDArray[np.int64], seed: int) -> float:
    """The distance within which 95 % of those asked have no image of another group."""
    some = points[asked]
    belongs = clusters(some, count=_GROUPS, seed=seed)
    distances = to_each(some, some)
    distances[belongs[:, None] == belongs] = np.inf
    foreign = distances.min(axis=1)
    # Just below: an image at exactly this distance is the first of another group.
    return float(np.nextafter(np.quantile(foreign, 1 - _PURITY), 0)) if np.isfinite(foreign).all() else np.inf


def _others(
    pool: Sequence[Candidate], chosen: Sequence[Choice], knowledge: Knowledge, *, count: int, seed: int, now: float
) -> list[Choice]:
    """What else is taken, far from all that is covered, those chosen among it."""
    if len(chosen) >= count:
        return []
    taken = {choice.image_id for choice in chosen}
    rest = [one for one in pool if one.image_id not in taken]
    covered = [one.embedding for one in pool if one.image_id in taken and one.embedding is not None]
    known = Knowledge(embeddings=[*knowledge.embeddings, *covered])
    return COVERAGE.choose_batch(rest, count=count - len(chosen), seed=seed, now=now, knowledge=known)


STRATEGY = ProbCover()
