"""Only what changed is read again, and nothing that changed is missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carina.annotations.database import Database, utc_now
from carina.annotations.mirror import Mirror
from carina.annotations.tables import ImageInfoRow

NOW = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.create_tables()
    yield opened
    opened.close()


class Notes:
    """A table of notes, its mirror, and how many rows the mirror made values of."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.made: list[str] = []
        self.mirror = Mirror(ImageInfoRow.subject, ImageInfoRow.updated, (ImageInfoRow.info,), self._make)

    def _make(self, row):
        self.made.append(row.subject)
        return row.info["value"]

    def put(self, subject: str, value: int, *, at: datetime) -> None:
        with self.database.writing() as session:
            session.merge(ImageInfoRow(subject=subject, info={"value": value}, updated=at))

    def remove(self, subject: str) -> None:
        with self.database.writing() as session:
            session.delete(session.get(ImageInfoRow, subject))

    def read(self) -> tuple[dict[str, int], list[str]]:
        self.made.clear()
        with self.database.reading() as session:
            return dict(self.mirror.read(session)), sorted(self.made)


@pytest.fixture
def notes(database) -> Notes:
    notes = Notes(database)
    for minute, subject in enumerate("abc"):
        notes.put(subject, minute, at=NOW + timedelta(minutes=minute))
    return notes


def test_what_did_not_change_is_not_read_again(notes):
    assert notes.read() == ({"a": 0, "b": 1, "c": 2}, ["a", "b", "c"])
    notes.put("a", 10, at=NOW + timedelta(minutes=9))
    found, made = notes.read()
    assert found == {"a": 10, "b": 1, "c": 2}
    assert "b" not in made


def test_a_transaction_that_ended_after_a_later_one_is_seen(notes):
    notes.read()
    notes.put("d", 3, at=NOW + timedelta(minutes=2, seconds=-2))
    assert notes.read()[0]["d"] == 3


def test_a_row_that_went_away_is_gone(notes):
    notes.read()
    notes.remove("b")
    assert notes.read()[0] == {"a": 0, "c": 2}
    notes.remove("c")
    assert notes.read()[0] == {"a": 0}


def test_all_is_read_while_the_clock_is_behind_the_newest_row(notes):
    notes.put("late", 4, at=utc_now() + timedelta(hours=2))
    notes.read()
    notes.put("b", 11, at=NOW)
    assert notes.read()[0] == {"a": 0, "b": 11, "c": 2, "late": 4}


def test_what_was_handed_out_does_not_change(notes):
    with notes.database.reading() as session:
        before = notes.mirror.read(session)
    notes.put("a", 10, at=NOW + timedelta(minutes=9))
    assert notes.read()[0]["a"] == 10
    assert before["a"] == 0


def test_an_empty_table_has_nothing(database):
    assert Notes(database).read() == ({}, [])
