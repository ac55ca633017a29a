from __future__ import annotations

from collections import Counter

import pytest

from carina.strategies.port import Candidate
from carina.strategies.random import STRATEGY

NOW = 1_000_000.0
POOL = [Candidate(image_id="old", last_offered=NOW - 900), Candidate(image_id="new", last_offered=NOW - 100)]


def draws(pool, count: int) -> Counter[str]:
    chosen = (STRATEGY.choose_batch(pool, count=1, seed=seed, now=NOW) for seed in range(count))
    return Counter(choice.image_id for [choice] in chosen)


def test_an_image_offered_longer_ago_comes_more_often_in_proportion():
    assert draws(POOL, 2000)["old"] / 2000 == pytest.approx(0.9, abs=0.03)


def test_an_image_that_was_never_offered_comes_nearly_always():
    assert draws([Candidate(image_id="never"), POOL[1]], 200)["never"] == 200


def test_images_that_were_never_offered_come_equally_often():
    drawn = draws([Candidate(image_id=name) for name in "abcd"], 2000)
    assert [drawn[name] / 2000 for name in "abcd"] == pytest.approx([0.25] * 4, abs=0.04)
