"""What every registered strategy promises; a new file in lib/strategies arrives tested."""

from __future__ import annotations

import inspect

import pytest

from carina.strategies import Candidate, Choice, find_strategies

NOW = 1_800_000_000.0
POOL = [
    Candidate(image_id=f"1.2.3.{number}", patient_id=f"P{number // 2}", last_offered=NOW - number * 1000)
    for number in range(7)
]


@pytest.fixture(params=find_strategies().names)
def strategy(request):
    return find_strategies().get(request.param)


def test_chooses_a_member_of_the_pool(strategy):
    for _ in range(20):
        choice = strategy.choose(POOL, now=NOW)
        assert isinstance(choice, Choice)
        assert choice.image_id in {candidate.image_id for candidate in POOL}


def test_answers_none_for_an_empty_pool(strategy):
    assert strategy.choose([], now=NOW) is None


def test_takes_the_only_image_there_is(strategy):
    assert strategy.choose(POOL[3:4], now=NOW).image_id == POOL[3].image_id


def test_copes_with_a_clock_that_went_back(strategy):
    assert strategy.choose(POOL, now=0.0) is not None


def test_leaves_the_pool_as_it_was(strategy):
    pool = list(POOL)
    strategy.choose(pool, now=NOW)
    assert pool == POOL


def test_says_what_it_does_in_one_line(strategy):
    assert strategy.description
    assert "\n" not in strategy.description
    assert inspect.getdoc(type(strategy))
