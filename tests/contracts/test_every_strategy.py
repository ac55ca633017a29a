"""What every registered strategy promises; a new file in lib/strategies arrives tested."""

from __future__ import annotations

import inspect
import tracemalloc

import numpy as np
import pytest

from carina.strategies import Candidate, Choice, Knowledge, find_strategies

NOW = 1_800_000_000.0
MIB = 2**20


def pool_of(count: int, *, looked_at: bool = True, features: int = 6) -> list[Candidate]:
    """Candidates that a model has looked at, or of which only the id is known."""
    random = np.random.default_rng(count)
    if not looked_at:
        return [Candidate(image_id=f"1.2.3.{number}") for number in range(count)]
    return [
        Candidate(
            image_id=f"1.2.3.{number}",
            patient_id=f"P{number // 2}",
            last_offered=NOW - number * 1000,
            waiting_since=NOW - number * 7 if number % 3 else 0.0,
            scores={
                method: float(random.random())
                for method in ("entropy", "margin", "bald", "tta", "committee", "islands", "plausibility")
            },
            embedding=random.normal(size=features).astype(np.float32),
            presence={"heart": 1.0, "nodule": float(random.random())},
            model_version="v1",
        )
        for number in range(count)
    ]


POOL = pool_of(23)
KNOWLEDGE = Knowledge(
    embeddings=[np.full(6, value, np.float32) for value in (-1.0, 1.0)], occurrences={"heart": 2.0, "nodule": 0.0}
)


@pytest.fixture(params=find_strategies().names)
def strategy(request):
    return find_strategies().get(request.param)


def ids(choices: list[Choice]) -> list[str]:
    return [choice.image_id for choice in choices]


def choose(strategy, pool, *, count=5, seed=3, now=NOW, knowledge=KNOWLEDGE) -> list[Choice]:
    return strategy.choose_batch(pool, count=count, seed=seed, now=now, knowledge=knowledge)


@pytest.mark.parametrize("looked_at", [True, False])
@pytest.mark.parametrize("knowledge", [Knowledge(), KNOWLEDGE])
def test_a_batch_holds_different_members_of_the_pool_and_says_why(strategy, looked_at, knowledge):
    pool = pool_of(23, looked_at=looked_at)
    for count in (1, 5, 23):
        choices = choose(strategy, pool, count=count, knowledge=knowledge)
        assert len(set(ids(choices))) == len(choices) == count
        assert set(ids(choices)) <= {candidate.image_id for candidate in pool}
        assert all(choice.reason.endswith(".") and "\n" not in choice.reason for choice in choices)
        assert all(np.isfinite(choice.weight) for choice in choices)


def test_a_batch_larger_than_the_pool_is_the_pool(strategy):
    assert sorted(ids(choose(strategy, POOL, count=100))) == sorted(candidate.image_id for candidate in POOL)


def test_an_empty_pool_gives_nothing(strategy):
    assert choose(strategy, []) == []


def test_the_only_image_there_is_is_taken(strategy):
    assert ids(choose(strategy, POOL[3:4])) == [POOL[3].image_id]


def test_the_seed_decides_and_the_order_of_the_pool_does_not(strategy):
    for seed in (0, 1, 2**31):
        once = ids(choose(strategy, POOL, seed=seed))
        assert ids(choose(strategy, POOL[::-1], seed=seed)) == once
        assert ids(choose(strategy, POOL, seed=seed)) == once


def test_images_that_were_not_looked_at_are_chosen_in_the_end(strategy):
    mixed = [*pool_of(5), *(Candidate(image_id=f"9.{number}") for number in range(5))]
    assert len(set(ids(choose(strategy, mixed, count=10)))) == 10


def test_images_that_are_all_alike_can_be_told_apart_no_more_but_are_chosen(strategy):
    alike = [
        Candidate(image_id=str(number), scores={"entropy": 0.5}, embedding=np.ones(4, np.float32))
        for number in range(9)
    ]
    assert len(set(ids(choose(strategy, alike, count=9)))) == 9


def test_features_of_another_kind_are_not_compared(strategy):
    knowledge = Knowledge(embeddings=[np.ones(99, np.float32)])
    mixed = [*POOL[:6], Candidate(image_id="other", embedding=np.ones(99, np.float32))]
    assert len(set(ids(choose(strategy, mixed, count=7, knowledge=knowledge)))) == 7


def test_copes_with_a_clock_that_went_back(strategy):
    assert len(choose(strategy, POOL, now=0.0)) == 5


def test_leaves_the_pool_as_it_was(strategy):
    pool = list(POOL)
    choose(strategy, pool)
    assert pool == POOL


def test_ten_thousand_images_need_little_memory(strategy):
    """Pairwise distances of all of them would take 400 MB."""
    pool = pool_of(10_000, features=128)
    tracemalloc.start()
    try:
        assert len(set(ids(choose(strategy, pool, count=16, knowledge=Knowledge())))) == 16
        assert tracemalloc.get_traced_memory()[1] < 120 * MIB
    finally:
        tracemalloc.stop()


def test_says_what_it_does_in_one_line(strategy):
    assert strategy.description
    assert "\n" not in strategy.description
    assert inspect.getdoc(type(strategy))
