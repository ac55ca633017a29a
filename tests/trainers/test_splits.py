"""A patient has one part for ever; small numbers are handled; stores only add."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina.errors import ConfigurationError, ConflictError
from carina.trainers.splits import FileSplitStore, Fractions, assign, parts_of

USUAL = Fractions(validation=0.15, holdout=0.15)
patients = st.sets(st.text("abcdef0123", min_size=1, max_size=6), max_size=30)


def counts(split) -> Counter:
    return Counter(split.values())


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "validation": 1}),
        (3, {"train": 1, "validation": 1, "holdout": 1}),
        (10, {"train": 7, "validation": 2, "holdout": 1}),
        (100, {"train": 70, "validation": 15, "holdout": 15}),
    ],
)
def test_small_numbers_train_first_and_large_ones_keep_the_shares(count, expected):
    split = assign([f"p{number}" for number in range(count)], {}, fractions=USUAL, seed=0)
    assert all(
        abs(counts(split)[part] - expected.get(part, 0)) <= (count >= 10) for part in ("train", "validation", "holdout")
    )
    assert len(split) == count


@given(st.lists(patients, min_size=1, max_size=5), st.integers(0, 3))
def test_a_patient_never_moves_however_many_come_later(rounds, seed):
    split: dict = {}
    for present in rounds:
        added = assign(present, split, fractions=USUAL, seed=seed)
        assert not added.keys() & split.keys()
        assert present <= split.keys() | added.keys()
        split |= added


@given(patients, st.integers(0, 3), st.randoms())
def test_the_order_of_the_patients_does_not_matter(present, seed, random):
    ordered = sorted(present)
    shuffled = ordered.copy()
    random.shuffle(shuffled)
    assert assign(ordered, {}, fractions=USUAL, seed=seed) == assign(shuffled, {}, fractions=USUAL, seed=seed)


def test_the_seed_decides_who_goes_where():
    names = [f"p{number}" for number in range(40)]
    assert assign(names, {}, fractions=USUAL, seed=0) != assign(names, {}, fractions=USUAL, seed=1)


def test_patients_coming_one_by_one_keep_the_shares():
    split: dict = {}
    for number in range(60):
        split |= assign([f"p{number}"], split, fractions=USUAL, seed=0)
    assert counts(split) == {"train": 42, "validation": 9, "holdout": 9}


def test_a_share_of_zero_keeps_its_part_empty():
    split = assign(map(str, range(20)), {}, fractions=Fractions(validation=0, holdout=0), seed=0)
    assert counts(split) == {"train": 20}


@pytest.mark.parametrize(("validation", "holdout"), [(-0.1, 0.1), (0.5, 0.5)])
def test_impossible_shares_are_refused(validation, holdout):
    with pytest.raises(ConfigurationError, match="sum to less than 1"):
        Fractions(validation=validation, holdout=holdout)


def test_file_store_persists_and_refuses_to_move(tmp_path):
    store = FileSplitStore(tmp_path)
    assert store.get("toy_ct") == {}
    first = parts_of(["a", "b", "c"], task="toy_ct", store=store, fractions=USUAL, seed=0)
    again = parts_of(["c", "a", "d"], task="toy_ct", store=FileSplitStore(tmp_path), fractions=USUAL, seed=9)
    assert {name: again[name] for name in "ac"} == {name: first[name] for name in "ac"}
    assert store.get("toy_ct").keys() == set("abcd")
    assert store.get("other_ct") == {}
    moved = "train" if first["a"] != "train" else "holdout"
    with pytest.raises(ConflictError, match="stay in one part"):
        store.put("toy_ct", {"a": moved})
    assert store.get("toy_ct")["a"] == first["a"]
