from __future__ import annotations

from carina.strategies.first import STRATEGY
from carina.strategies.port import Candidate


def test_the_smallest_id_comes_first_whatever_the_order():
    pool = [Candidate(image_id=name) for name in ("b", "a10", "a2")]
    for order in (pool, pool[::-1]):
        chosen = STRATEGY.choose_batch(order, count=2, seed=0, now=0.0)
        assert [choice.image_id for choice in chosen] == ["a10", "a2"]
