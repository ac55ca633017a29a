"""Strategies that rank by one score."""

from __future__ import annotations

import pytest

from carina.strategies import Candidate, find_strategies


@pytest.mark.parametrize(
    ("strategy", "method"),
    [
        ("uncertainty", "entropy"),
        ("margin", "margin"),
        ("disagreement", "tta"),
        ("disagreement", "bald"),
        ("quality", "plausibility"),
        ("quality", "tta"),
        ("committee", "committee"),
    ],
)
def test_the_highest_score_comes_first_and_what_has_none_last(strategy, method):
    pool = [Candidate(image_id=name, scores={method: value}) for name, value in (("a", 0.1), ("b", 0.7), ("c", 0.4))]
    pool.append(Candidate(image_id="d", scores={"another": 1.0}))
    chosen = find_strategies().get(strategy).choose_batch(pool, count=4, seed=0, now=0.0)
    assert [choice.image_id for choice in chosen] == ["b", "c", "a", "d"]
    assert "67 % of the pool" in chosen[0].reason
    assert f"{method} 0.70" in chosen[0].reason


def test_without_a_score_chance_decides():
    pool = [Candidate(image_id=str(number)) for number in range(50)]
    uncertainty = find_strategies().get("uncertainty")
    first = {uncertainty.choose_batch(pool, count=1, seed=seed, now=0.0)[0].image_id for seed in range(20)}
    assert len(first) > 10


def test_the_draft_that_waits_longest_comes_before_images_without_one():
    waiting = {"young": 2000.0, "none": 0.0, "old": 1000.0}
    pool = [Candidate(image_id=name, waiting_since=since) for name, since in waiting.items()]
    chosen = find_strategies().get("oldest").choose_batch(pool, count=3, seed=0, now=3000.0)
    assert [choice.image_id for choice in chosen] == ["old", "young", "none"]
    assert chosen[0].reason == "Its draft has been waiting since 1970-01-01."
