"""Unsure images that would teach different things: k-means++ on gradients (BADGE, Ash et al., arXiv:1906.03671)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .port import NOTHING, Candidate, Choice, Knowledge, Needs
from .ranking import drawn, percent

_NEEDS = Needs(embedding=True, presence=True)


@dataclass(frozen=True)
class Badge:
    """Draws images far from each other in the space of the gradients that their own answers would give.

    The gradient of a last layer, were the answer taken for the truth, is for every label the features times
    (probability - answer): long where a model is unsure, and another way where other features or labels are concerned.
    For findings these are the probabilities of the image, for structures those of the voxels that look most like one.
    """

    name: str = "badge"
    description: str = "Unsure images that would each teach the model something else"
    needs: Needs = _NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`. The first is the one with the longest gradient."""
        gradients = _gradients(pool)
        random = np.random.default_rng(seed)
        lengths = gradients.squares
        nearest = lengths.copy()
        choices: list[Choice] = []
        # Images that lie on a chosen one, but for rounding, teach nothing that it does not.
        least = 1e-6 * float(lengths.max(initial=0.0))
        while len(choices) < min(count, len(gradients.members)):
            nearest[nearest <= least] = 0.0
            if not nearest.any():
                break
            index = int(random.choice(len(nearest), p=nearest / nearest.sum()) if choices else nearest.argmax())
            shorter = float((lengths < lengths[index]).mean())
            choices.append(
                Choice(
                    image_id=gradients.members[index].image_id,
                    weight=float(np.sqrt(nearest[index])),
                    reason=f"It would change the model more than {percent(shorter)} of the pool, and in another way "
                    "than what was chosen before it.",
                )
            )
            np.minimum(nearest, gradients.squares_to(index), out=nearest)
            nearest[index] = 0.0
        taken = {choice.image_id for choice in choices}
        rest = [candidate for candidate in pool if candidate.image_id not in taken]
        return choices + drawn(
            rest, count=count - len(choices), seed=seed, reason="Drawn at random: no model is unsure of what is left."
        )


@dataclass(frozen=True, eq=False)
class _Gradients:
    """Gradients as the two factors of each, so that memory does not grow with features times labels.

    Attributes:
        members: Candidates that a model has looked at, in the order of their ids.
        features: `(n, features)` float64.
        errors: `(n, labels)` float64, probability - answer.
    """

    members: Sequence[Candidate]
    features: NDArray[np.float64]
    errors: NDArray[np.float64]

    @property
    def squares(self) -> NDArray[np.float64]:
        """`(n,)` squared length of each."""
        lengths: NDArray[np.float64] = (self.features**2).sum(axis=1) * (self.errors**2).sum(axis=1)
        return lengths

    def squares_to(self, index: int) -> NDArray[np.float64]:
        """`(n,)` squared distance of each to one: of outer products, the inner ones multiply."""
        lengths = self.squares
        inner = (self.features @ self.features[index]) * (self.errors @ self.errors[index])
        squares: NDArray[np.float64] = np.maximum(lengths + lengths[index] - 2 * inner, 0.0)
        return squares


def _gradients(pool: Sequence[Candidate]) -> _Gradients:
    """Of those a model has looked at; what has other features or labels than the first is left out."""
    seen = [one for one in sorted(pool, key=lambda one: one.image_id) if one.embedding is not None and one.presence]
    if not seen:
        return _Gradients([], np.zeros((0, 0)), np.zeros((0, 0)))
    names, size = sorted(seen[0].presence), _size(seen[0])
    members = [one for one in seen if _size(one) == size and sorted(one.presence) == names]
    shares = np.array([[one.presence[name] for name in names] for one in members])
    features = np.array([one.embedding for one in members], np.float64)
    return _Gradients(members, features, shares - (shares >= 0.5))


def _size(candidate: Candidate) -> int:
    return 0 if candidate.embedding is None else candidate.embedding.size


STRATEGY = Badge()
