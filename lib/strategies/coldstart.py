"""Typical images of groups without a label: where to begin without a model (TypiClust, arXiv:2202.02794)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import drawn
from .space import clusters, space_of, typicality

_MOST_CLUSTERS = 64
"""More would take seconds of a person who waits for the next image; groups with fewer labels still come first."""

_NEEDS = Needs(embedding=True)


@dataclass(frozen=True)
class ColdStart:
    """As many groups as there will be labels; the most typical image of each large group without one."""

    name: str = "coldstart"
    description: str = "A typical image of a group of similar ones that has no label yet; needs no model"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        space = space_of(pool, knowledge)
        members = space.members
        if not members:
            return drawn(pool, count=count, seed=seed, reason="Drawn at random: images were not compared yet.")
        together = np.concatenate([space.points, space.known])
        belongs = clusters(together, count=min(len(space.known) + count, _MOST_CLUSTERS), seed=seed)
        inside, covered = belongs[: len(members)], np.bincount(belongs[len(members) :], minlength=belongs.max() + 1)
        left = np.bincount(inside, minlength=len(covered))
        queues: dict[int, list[int]] = {}
        choices: list[Choice] = []
        while len(choices) < min(count, len(members)):
            cluster = min(np.flatnonzero(left).tolist(), key=lambda one: (covered[one], -left[one], one))
            if cluster not in queues:
                queues[cluster] = _most_typical_first(space.points, np.flatnonzero(inside == cluster))
            index = queues[cluster].pop(0)
            covered[cluster] += 1
            left[cluster] -= 1
            similar = int(left[cluster])
            reason = f"Typical of a group of {similar + 1} similar images without a label."
            choices.append(Choice(image_id=members[index].image_id, weight=float(similar + 1), reason=reason))
        return choices + _others(pool, choices, count=count, seed=seed)


def _most_typical_first(points: NDArray[Any], inside: NDArray[Any]) -> list[int]:
    order = np.argsort(-typicality(points[inside]), kind="stable")
    return [int(index) for index in inside[order]]


def _others(pool: Sequence[Candidate], chosen: Sequence[Choice], *, count: int, seed: int) -> list[Choice]:
    """Images that could not be compared, where the others do not suffice."""
    taken = {choice.image_id for choice in chosen}
    rest = [candidate for candidate in pool if candidate.image_id not in taken]
    return drawn(rest, count=count - len(chosen), seed=seed, reason="Not compared with the others yet.")


STRATEGY = ColdStart()
