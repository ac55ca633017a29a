from __future__ import annotations

from carina.strategies.first import STRATEGY
from carina.strategies.port import Candidate


def test_the_smallest_id_comes_first_whatever_the_order():
    pool = [Candidate(image_id=name) for name in ("b", "a10", "a2")]
    assert STRATEGY.choose(pool, now=0.0).image_id == "a10"
    assert STRATEGY.choose(pool[::-1], now=0.0).image_id == "a10"
