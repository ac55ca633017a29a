from __future__ import annotations

import threading

import pytest

from carina.errors import InvalidInputError
from carina.jobs.ahead import made_ahead


def test_everything_comes_in_order_and_errors_in_their_place():
    def make(number: int) -> int:
        if number == 2:
            raise InvalidInputError("Two is no good.")
        return 10 * number

    made = list(made_ahead(range(5), make, ahead=3, threads=2))

    assert [one.key for one in made] == [0, 1, 2, 3, 4]
    assert [one.get() for one in made if one.error is None] == [0, 10, 30, 40]
    with pytest.raises(InvalidInputError, match="no good"):
        made[2].get()


def test_the_next_is_made_while_the_present_is_worked_with_and_no_more_than_that():
    begun = [threading.Event() for _ in range(6)]
    made = made_ahead(range(6), lambda number: begun[number].set() or number, ahead=2)

    first = next(made)

    assert first.get() == 0
    assert begun[1].wait(60)
    assert begun[2].wait(60)
    assert not begun[3].is_set()
    made.close()


def test_who_gives_up_leaves_no_thread_behind_and_nothing_more_is_made():
    asked = []
    made = made_ahead(range(100), lambda number: asked.append(number) or number, ahead=4)
    next(made)
    made.close()
    assert len(asked) <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("carina-ahead")]


def test_an_error_of_the_program_ends_it():
    def make(_number: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(made_ahead(range(3), make, ahead=2))
