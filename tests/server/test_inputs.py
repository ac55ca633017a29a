from __future__ import annotations

import pytest

from carina.errors import InvalidInputError, UnsafeIdError
from carina.server.inputs import RESERVED_KEYS, chosen, json_object, seconds_of, text_of, user_of


@pytest.mark.parametrize("text", [None, "", "  ", "{}", "null"])
def test_an_empty_field_is_an_empty_object(text):
    assert json_object(text) == {}


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "1", "[" * 100_000])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(InvalidInputError, match="JSON"):
        json_object(text)


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_keys_that_name_files_are_refused(key):
    with pytest.raises(UnsafeIdError, match=key):
        chosen({key: "x"}, {key})


def test_unknown_keys_are_left_out():
    assert chosen({"a": 1, "b": 2}, {"a"}) == {"a": 1}


@pytest.mark.parametrize("value", [1, ["x"], "x" * 129, "line\nbreak", "bell\a"])
def test_a_text_parameter_is_short_printable_text(value):
    with pytest.raises(InvalidInputError):
        text_of({"user": value}, "user")


def test_an_empty_text_counts_as_none():
    assert text_of({"user": ""}, "user") is None
    assert text_of({"user": "Ärztin 1"}, "user") == "Ärztin 1"


def test_a_user_is_who_it_says_it_is_and_else_the_client():
    assert user_of({"user": "anna", "client_id": "slicer"}) == "anna"
    assert user_of({"client_id": "slicer"}) == "slicer"
    assert user_of({"user": ""}) is None


def test_seconds_are_a_number_from_zero_up_under_the_first_name_that_is_there():
    assert seconds_of({"time_spent": 3, "time_spent_s": "95.5"}, "time_spent_s", "time_spent") == 95.5
    assert seconds_of({"time_spent": 0}, "time_spent_s", "time_spent") == 0
    assert seconds_of({"time_spent_s": ""}, "time_spent_s") is None


@pytest.mark.parametrize("value", ["soon", -1, True, [3], "nan", "inf", 10**400])
def test_other_times_are_refused(value):
    with pytest.raises(InvalidInputError, match="seconds"):
        seconds_of({"time_spent_s": value}, "time_spent_s")


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": [1e999]}', '{"a": {"b": -Infinity}}', '{"a": "\\ud800"}'])
def test_what_no_answer_could_give_back_is_refused(text):
    with pytest.raises(InvalidInputError, match="finite numbers and whole characters"):
        json_object(text)


@pytest.mark.parametrize("value", ["山田\u3000太郎", "12\u00a0mm"])
def test_a_space_of_another_script_is_text(value):
    assert text_of({"user": value}, "user") == value
