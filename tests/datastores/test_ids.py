"""Ids from outside, and ids made from file names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina.datastores.ids import check_id, id_from_name
from carina.errors import UnsafeIdError


@pytest.mark.parametrize("good", ["1.2.840.10008.1.2", "case_01", "A-b.c", "x" * 128])
def test_lets_safe_ids_through_unchanged(good: str) -> None:
    assert check_id(good) == good


@pytest.mark.parametrize("bad", ["", ".", "..", "a..b", "a/b", "a\\b", "/a", "a\0", "a\n", "a b", "ä", ".a", "x" * 129])
def test_refuses_whatever_could_be_more_than_a_name(bad: str) -> None:
    with pytest.raises(UnsafeIdError, match="An image id must be"):
        check_id(bad)


def test_does_not_repeat_a_long_hostile_id_in_its_message() -> None:
    with pytest.raises(UnsafeIdError) as caught:
        check_id("/" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b c", "a_b_c"), ("Thorax Müller", "Thorax_Muller"), ("x..y", "x.y"), ("1.2.3", "1.2.3"), ("../a", "_a")],
)
def test_makes_an_id_from_a_file_name(name: str, expected: str) -> None:
    assert id_from_name(name) == expected


def test_names_that_lose_letters_or_are_too_long_make_ids_of_their_own() -> None:
    names = ["胸部", "腹部", "胸部 1", "腹部 1", "Größe", "a" * 130, "a" * 131, "ab/" * 60]
    made = [id_from_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert [check_id(one) for one in made] == made
    assert made == [id_from_name(name) for name in names]


def test_an_accent_written_as_its_own_letter_makes_the_same_id() -> None:
    assert id_from_name("Mu\u0308ller 胸") == id_from_name("Müller 胸")


@given(st.text(max_size=60))
def test_makes_safe_ids_or_none(name: str) -> None:
    try:
        made = id_from_name(name)
    except UnsafeIdError:
        return
    assert check_id(made) == made
