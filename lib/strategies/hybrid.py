"""Images that stand for others first; then unsure ones unlike the labelled, rather with structures rarely drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .coverage import Walk
from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .probcover import STRATEGY as STANDING_FOR_OTHERS
from .ranking import by_score, method_at_hand, percent
from .space import space_of

_RARITY_WEIGHT = 4.0
_LEAST_UNSURE = 0.25
_SEEN = 0.5
_RARE = 0.5
_LUCK = 2.0
_DOUBT = "The model is less sure of it than of"
_SAID = {"islands": "More of its draft lies in islands than in"}
_OF_THE_UNDRAWN = frozenset({"islands"})
_ALONE = "Unlike the labelled images."

_NEEDS = Needs(scores=("islands", "entropy", "margin", "tta", "committee"), embedding=True, presence=True)


@dataclass(frozen=True)
class Hybrid:
    """`probcover` without a model; with one, k-centre whose distances are weighted by doubt and rarity.

    An image's weight is its rank among the pool by a score, times up to five where a model sees more of a structure
    that few labelled images show than in other images. What was chosen for a batch counts as covered and as drawn for
    the rest of it.

    As long as a structure is rare, drawn less than half as often as another (two labels more count as luck), it is
    searched for: the weight counts with its square, or the distance would decide, which says little among images of
    one kind. Once none is rare the distance counts more; and where islands are all there is to go by, `probcover` goes
    on, for they tell of what was never drawn, and of odd images otherwise.
    """

    name: str = "hybrid"
    description: str = "Images that stand for others, then unsure ones unlike the labelled, rare structures first"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        method = method_at_hand(pool, self.needs.scores)
        searching = _one_is_rare(knowledge.occurrences)
        if method is None or (method in _OF_THE_UNDRAWN and not searching):
            return STANDING_FOR_OTHERS.choose_batch(pool, count=count, seed=seed, now=now, knowledge=knowledge)
        space = space_of(pool, knowledge)
        unsure = _ranks([candidate.scores.get(method) for candidate in space.members])
        walk, drawn = Walk(space), dict(knowledge.occurrences)
        choices: list[Choice] = []
        presence, names = _presence(space.members)
        power = 2 if searching else 1
        while len(choices) < min(count, len(space.members)):
            shown = _rarity(presence, names, drawn)
            rare = shown.max(axis=1, initial=0.0)
            index, _ = walk.furthest(((_LEAST_UNSURE + unsure) * (1 + _RARITY_WEIGHT * rare)) ** power)
            member = space.members[index]
            walk.take(index)
            for name, value in member.presence.items():
                drawn[name] = drawn.get(name, 0.0) + value
            seen = names[int(shown[index].argmax())] if rare[index] > _SEEN else None
            reason = _reason(method, unsure[index], seen)
            choices.append(Choice(image_id=member.image_id, weight=float(unsure[index] + rare[index]), reason=reason))
        taken = {choice.image_id for choice in choices}
        rest = [candidate for candidate in pool if candidate.image_id not in taken]
        return choices + by_score(
            rest, methods=(method,), count=count - len(choices), seed=seed,
            because=f"{_SAID.get(method, _DOUBT)} {{share}} of the pool",
        )  # fmt: skip


def _one_is_rare(drawn: Mapping[str, float]) -> bool:
    """Whether a structure is drawn less than half as often as another, and not just by luck."""
    least, most = min(drawn.values(), default=0.0), max(drawn.values(), default=0.0)
    return least < most and least < _RARE * (most + _LUCK)


def _ranks(scores: Sequence[float | None]) -> NDArray[np.float64]:
    """`(n,)` share of the pool with a lower score; one half for what has none."""
    values = np.array([np.nan if score is None else score for score in scores], np.float64)
    there = ~np.isnan(values)
    known = np.sort(values[there])
    return np.where(there, np.searchsorted(known, values) / max(len(known) - 1, 1), 0.5)


def _rarity(presence: NDArray[np.float64], names: Sequence[str], drawn: Mapping[str, float]) -> NDArray[np.float64]:
    """`(n, labels)` how much each image shows of what is rarely drawn, 0–1.

    A structure is as rare as it has been drawn less often than the one drawn most often.
    """
    most = max(drawn.values(), default=0.0)
    rare = np.array([1 - drawn.get(name, 0.0) / max(most, 1.0) for name in names])
    return presence * rare


def _presence(members: Sequence[Candidate]) -> tuple[NDArray[np.float64], list[str]]:
    """`(n, labels)` rank of each image among all by the presence of each label, squared; and the labels' names.

    Ranks, because a model that has met a structure a few times only is sure of it nowhere, and yet less unsure where
    it is. An image at which no model looked has rank 0.
    """
    names = sorted({name for member in members for name in member.presence})
    found = np.array([[member.presence.get(name, 0.0) for name in names] for member in members])
    found = found.reshape(len(members), len(names))
    ordered = np.sort(found, axis=0)
    lower = [np.searchsorted(ordered[:, column], found[:, column]) for column in range(len(names))]
    ranks = np.array(lower, np.float64).reshape(len(names), len(members)).T / max(len(members) - 1, 1)
    return ranks**2, names


def _reason(method: str, unsure: float, rare: str | None) -> str:
    because = _SAID.get(method, _DOUBT)
    said = f"{_ALONE} {because} {percent(float(unsure))} of the pool"
    return f"{said}; it may show a structure that is rarely labelled: {rare}." if rare else f"{said}."


STRATEGY = Hybrid()
