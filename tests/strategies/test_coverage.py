"""k-centre: each choice lies furthest from all that is covered, and says so in words that fit what is left."""

from __future__ import annotations

import numpy as np

from carina.strategies.coverage import STRATEGY
from carina.strategies.port import Candidate, Knowledge


def choices(*places, count, known=(0.0,)):
    pool = [Candidate(image_id=f"{place:g}", embedding=np.array([place], np.float32)) for place in places]
    knowledge = Knowledge(embeddings=[np.array([place], np.float32) for place in known])
    return STRATEGY.choose_batch(pool, count=count, seed=0, now=0.0, knowledge=knowledge)


def test_the_furthest_comes_first_and_then_the_furthest_of_both():
    assert [choice.image_id for choice in choices(1, 2, 10, 6, count=3)] == ["10", "6", "2"]


def test_the_share_of_those_left_that_lie_nearer_is_the_reason():
    first, *_ = choices(1, 2, 10, 6, count=1)
    assert first.reason == "Less like any labelled image than 100 % of the pool."


def test_the_only_image_of_a_pool_is_compared_with_nothing():
    (only,) = choices(7, count=1)
    assert only.reason == "The only image left of the pool."
