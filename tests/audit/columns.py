"""Answers made up for tests: probabilities and truths without images or networks."""

from __future__ import annotations

import numpy as np

from carina.audit.answers import AS_IT_IS, MARKED, NO_CORNERS
from carina.audit.column import Column


def column(probabilities, truths, *, changed=None, perturbed=("noise",), patients=None) -> Column:
    """One finding; changes that are not named leave the probabilities as they are."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    names = [f"i{number}" for number in range(len(probabilities))]
    kept = dict.fromkeys([AS_IT_IS, NO_CORNERS, *MARKED.values(), *perturbed], probabilities)
    return Column(
        name="nodule",
        image_ids=names,
        patients=patients or names,
        truths=np.asarray(truths, dtype=bool),
        changed=kept | (changed or {}),
        perturbed=perturbed,
        threshold=0.5,
    )


def believable(count: int, *, seed: int = 1):
    """Probabilities that are right, and truths drawn from them."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.6, 0.6, count)
    return probabilities, random.random(count) < probabilities
