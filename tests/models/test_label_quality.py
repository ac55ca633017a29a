"""Labels that disagree more than usual come first, with the reason in words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from carina.geometry import Grid, Volume
from carina.models.label_quality import Comparison, agreements, not_learned, rank_labels
from carina.models.verdict import Oddity
from carina.sizes import size_unit
from carina.structures import label_set

LABELS = label_set("lung_left", "lung_right", "heart", "trachea")
LEFT, RIGHT, HEART, TRACHEA = (LABELS.indices[name] for name in ("lung_left", "lung_right", "heart", "trachea"))
SPACING = (4.0, 3.0, 5.0)


def chest(seed: int) -> np.ndarray:
    """`(24, 20, 16)`, RAS: the patient's right is where x is high."""
    random = np.random.default_rng(seed)
    label = np.zeros((24, 20, 16), dtype=np.uint8)
    low, high = random.integers(3, 5), random.integers(12, 14)
    label[15:21, 4:16, low:high] = RIGHT
    label[3:9, 4:16, low:high] = LEFT
    label[10:14, 6:13, 4:9] = HEART
    label[11:13, 13:15, 6:14] = TRACHEA
    return label


def drawn_by_a_network(label: np.ndarray, seed: int) -> np.ndarray:
    """The truth with a ragged surface: nothing that any label would not meet."""
    random = np.random.default_rng([seed, 1])
    flips = random.random(label.shape) < 0.04
    return np.where(flips, np.roll(label, 1, axis=0), label)


def ranked(wrong: dict[int, np.ndarray], *, count: int = 12, annotated=None):
    """Cases 0… with true labels, but for those given."""
    grid = Grid((24, 20, 16), np.diag([*SPACING, 1.0]))
    unit = size_unit(grid, projection=False, pixel_size_known=True)
    cases = {}
    for seed in range(count):
        truth = chest(seed)
        label, drawn = wrong.get(seed, truth), drawn_by_a_network(truth, seed)
        found = agreements(Volume(label, grid), Volume(drawn, grid), labels=LABELS, annotated=annotated, unit=unit)
        cases[f"case{seed}"] = Comparison(agreements=found)
    return rank_labels(cases)


def without(label: np.ndarray, index: int) -> np.ndarray:
    return np.where(label == index, 0, label)


def test_nothing_stands_out_where_all_labels_are_right():
    found = ranked({})
    assert [one.suspect for one in found] == [False] * 12
    assert [one.reasons for one in found] == [()] * 12


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (without(chest(5), HEART), "heart is missing where about 8.4 ml are expected"),
        (np.array([0, RIGHT, LEFT, HEART, TRACHEA])[chest(5)], "lung_left and lung_right look exchanged"),
        (np.roll(chest(5), 3, axis=0), "everything lies 12 mm too far right"),
        (np.roll(chest(5), (-2, -2), axis=(1, 2)), "everything lies 6 mm too far posterior and 10 mm too far inferior"),
        (np.where(np.roll(chest(5) == HEART, 3, axis=2), HEART, without(chest(5), HEART)), "heart lies 15 mm"),
        (np.where(np.indices((24, 20, 16))[2] > 7, without(chest(5), RIGHT), chest(5)), "lung_right has 1"),
    ],
)  # fmt: skip
def test_a_wrong_label_comes_first_with_its_reason(wrong, reason):
    first, second = ranked({5: wrong.astype(np.uint8)})[:2]
    assert first.image_id == "case5"
    assert first.suspect
    assert not second.suspect
    assert first.reasons[0].startswith(reason)


def test_several_wrong_labels_do_not_hide_each_other():
    wrong = {number: without(chest(number), index) for number, index in ((1, HEART), (4, HEART), (7, LEFT))}
    assert {one.image_id for one in ranked(wrong)[:3]} == {"case1", "case4", "case7"}
    assert [one.suspect for one in ranked(wrong)[2:4]] == [True, False]


def test_a_structure_that_was_not_annotated_is_not_missing():
    found = ranked({5: without(chest(5), HEART)}, annotated={"lung_left", "lung_right"})
    assert not any(one.suspect for one in found)
    assert set(found[0].structures) == {"lung_left", "lung_right"}


def test_a_structure_that_no_network_finds_says_nothing():
    cases = without_learning(TRACHEA, {3: without(chest(3), TRACHEA)})
    assert not any(one.suspect for one in rank_labels(cases))
    assert not_learned(cases) == ("trachea",)


MISSING = Oddity(("trachea",), 1.0, "trachea is missing", fault=True)


def without_learning(index: int, wrong: dict[int, np.ndarray], *, drawn: dict[int, np.ndarray] | None = None):
    """Cases whose networks do not draw a structure at all, but for those given."""
    grid = Grid((24, 20, 16), np.diag([*SPACING, 1.0]))
    unit = size_unit(grid, projection=False, pixel_size_known=True)
    cases = {}
    for seed in range(8):
        label = wrong.get(seed, chest(seed))
        seen = (drawn or {}).get(seed, without(chest(seed), index))
        found = agreements(Volume(label, grid), Volume(seen, grid), labels=LABELS, annotated=None, unit=unit)
        cases[f"case{seed}"] = Comparison(agreements=found)
    return cases


def odd(case: Comparison, *oddities: Oddity) -> Comparison:
    return dataclasses.replace(case, oddities=oddities)


def test_of_a_structure_that_no_network_finds_the_label_speaks_beside_the_others():
    cases = without_learning(TRACHEA, {3: without(chest(3), TRACHEA)})
    first, second = rank_labels(cases | {"case3": odd(cases["case3"], MISSING)})[:2]
    assert (first.image_id, first.score, first.reasons) == ("case3", 1.0, ("trachea is missing",))
    assert first.structures["trachea"] == 1.0
    assert not second.suspect


def test_an_odd_shape_and_what_often_is_missing_do_not_count():
    cases = without_learning(TRACHEA, {})
    shape = Oddity(("trachea",), 0.95, "trachea has an unusual shape or place")
    rare = MISSING._replace(odd=0.6)
    assert rank_labels(cases | {"case3": odd(cases["case3"], shape, rare)}) == rank_labels(cases)


def test_a_structure_that_networks_find_and_do_not_see_here_is_rightly_missing():
    """As after an operation: label and network agree, whatever all others have."""
    whole = {seed: chest(seed) for seed in range(8)}
    missing = without(chest(3), TRACHEA)
    cases = without_learning(TRACHEA, {3: missing}, drawn=whole | {3: missing})
    assert rank_labels(cases | {"case3": odd(cases["case3"], MISSING)}) == rank_labels(cases)
    wrong = without_learning(TRACHEA, {3: missing}, drawn=whole)
    first = rank_labels(wrong | {"case3": odd(wrong["case3"], MISSING)})[0]
    assert (first.score, first.reasons) == (1.0, ("trachea is missing where about 1.9 ml are expected",))


def test_without_cases_there_is_nothing_to_rank():
    assert rank_labels({}) == []
