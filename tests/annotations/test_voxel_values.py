"""Voxel values and names fit, or it is said which do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from carina.annotations.voxel_values import check_names, mask_named, present_values, recode, unnamed_values, unsigned
from carina.errors import LabelError


@given(some.lists(some.integers(0, 65534), min_size=1, max_size=60))
def test_whole_numbers_survive_whatever_type_they_come_in(values):
    for dtype in (np.int64, np.float64):
        taken = unsigned(np.array(values, dtype=dtype))
        assert taken.tolist() == values
        assert taken.dtype == (np.uint8 if max(values) < 256 else np.uint16)


@given(some.lists(some.integers(0, 300), min_size=1, max_size=60))
def test_present_values_are_those_of_numpy_without_background(values):
    array = np.array(values, dtype=np.uint16)
    assert present_values(array) == set(np.unique(array).tolist()) - {0}


@pytest.mark.parametrize("array", [np.array([-1]), np.array([65535]), np.array([0.5]), np.array([1j]), np.array(["a"])])
def test_anything_else_is_refused(array):
    with pytest.raises(LabelError):
        unsigned(array)


@pytest.mark.parametrize("names", [{"a": True}, {"a": 1.0}, {"a": 0}, {"a": -1}, {"a": 65535}, {"a": 3, "b": 3}])
def test_names_need_values_of_their_own_that_a_file_can_hold(names):
    with pytest.raises(LabelError):
        check_names(names)


def test_recoding_goes_by_name_and_marks_what_is_not_wanted():
    array = np.array([0, 5, 52, 5], dtype=np.uint8)
    names = {"liver": 5, "aorta": 52, "spleen": 900}
    assert recode(array, names, {"liver": 1}).tolist() == [0, 1, 0, 1]
    assert recode(array, names, {"liver": 1}, other=9).tolist() == [0, 1, 9, 1]
    assert recode(array, names, {"liver": 52, "aorta": 5}).tolist() == [0, 52, 5, 52]


BITS = {"left": 1, "right": 2, "heart": 4}
SHARED = np.array([0, 1, 2, 4, 3, 5, 7], dtype=np.uint8)


def test_sums_of_powers_of_two_have_the_names_of_all_of_them():
    assert unnamed_values(SHARED, BITS, sums=True) == set()
    assert unnamed_values(SHARED, BITS, sums=False) == {3, 5, 7}
    assert unnamed_values(SHARED, {"left": 1, "heart": 4}, sums=True) == {2, 3, 7}
    assert mask_named(SHARED, "heart", BITS).tolist() == [False, False, False, True, False, True, True]


def test_other_values_are_no_sums():
    indices = {"left": 1, "right": 2, "heart": 3}
    assert unnamed_values(SHARED, indices, sums=True) == {4, 5, 7}
    assert mask_named(SHARED, "right", indices).tolist() == [False, False, True, False, False, False, False]


def test_recoding_sums_keeps_all_names_or_the_one_with_the_highest_value():
    wanted = {"left": 8, "heart": 1}
    assert recode(SHARED, BITS, wanted, sums=True).tolist() == [0, 8, 0, 1, 8, 9, 9]
    assert recode(SHARED, BITS, BITS).tolist() == [0, 1, 2, 4, 2, 4, 4]
