"""A patient never moves between the parts of a split."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from carina.annotations.splits import SplitTable
from carina.errors import ConflictError, InvalidInputError


@pytest.fixture
def splits(store) -> SplitTable:
    return store.splits


def test_keeps_what_was_put_per_task(splits):
    splits.put("thorax_ct", {"p1": "train", "p2": "holdout"})
    splits.put("thorax_ct", {"p3": "validation"})
    splits.put("wholebody_ct", {"p1": "holdout"})
    assert splits.get("thorax_ct") == {"p1": "train", "p2": "holdout", "p3": "validation"}
    assert splits.get("wholebody_ct") == {"p1": "holdout"}
    assert splits.get("other") == {}


def test_refuses_to_move_a_patient_and_changes_nothing(splits):
    splits.put("thorax_ct", {"p1": "holdout"})
    with pytest.raises(ConflictError, match="1 that would move"):
        splits.put("thorax_ct", {"p0": "train", "p1": "train"})
    assert splits.get("thorax_ct") == {"p1": "holdout"}


def test_putting_the_same_again_is_harmless(splits):
    splits.put("thorax_ct", {"p1": "train"})
    splits.put("thorax_ct", {"p1": "train", "p2": "train"})
    assert splits.get("thorax_ct") == {"p1": "train", "p2": "train"}


def test_refuses_a_part_that_does_not_exist(splits):
    with pytest.raises(InvalidInputError, match="test"):
        splits.put("thorax_ct", {"p1": "test"})


def test_of_eight_trainings_that_disagree_one_wins_whole(splits):
    def put(number: int) -> str:
        part = ("train", "validation", "holdout")[number % 3]
        try:
            splits.put("thorax_ct", dict.fromkeys(("p1", "p2", "p3"), part))
        except ConflictError:
            return "refused"
        return part

    with ThreadPoolExecutor(8) as pool:
        outcomes = set(pool.map(put, range(24)))
    assert set(splits.get("thorax_ct").values()) == outcomes - {"refused"}
    assert len(outcomes) == 2
