from __future__ import annotations

import random
from collections import Counter

import pytest

from carina.strategies.port import Candidate
from carina.strategies.random import Random

NOW = 1_000_000.0
POOL = [Candidate(image_id="old", last_offered=NOW - 900), Candidate(image_id="new", last_offered=NOW - 100)]


def draws(pool, count: int) -> Counter[str]:
    strategy = Random(generator=random.Random(0))
    return Counter(strategy.choose(pool, now=NOW).image_id for _ in range(count))


def test_an_image_offered_longer_ago_comes_more_often_in_proportion():
    assert draws(POOL, 4000)["old"] / 4000 == pytest.approx(0.9, abs=0.03)


def test_an_image_that_was_never_offered_comes_nearly_always():
    assert draws([Candidate(image_id="never"), POOL[1]], 200)["never"] == 200


def test_the_order_of_the_pool_does_not_matter():
    assert draws(POOL, 50) == draws(POOL[::-1], 50)
