"""Voxel values and names fit, or it is said which do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from carina.annotations.voxel_values import check_names, present_values, recode, unsigned
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
