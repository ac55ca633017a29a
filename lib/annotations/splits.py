"""Which part of a task's data a patient belongs to: written once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ..errors import ConflictError, InvalidInputError
from .database import Database
from .tables import SplitRow

Part = Literal["train", "validation", "holdout"]
PARTS: tuple[Part, ...] = ("train", "validation", "holdout")


class SplitTable:
    """Persisted patient-level splits; rows are only ever added.

    Any number of threads and processes may use one database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, task: str) -> dict[str, Part]:
        """Patient key → part, of every patient the task has seen."""
        with self._database.reading() as session:
            rows = session.scalars(select(SplitRow).where(SplitRow.task == task))
            return {row.patient_key: cast(Part, row.split) for row in rows}

    def put(self, task: str, added: Mapping[str, Part]) -> None:
        """Add patients, all or none; one that is there with the same part is left as it is.

        Raises:
            ConflictError: If a patient would move.
            InvalidInputError: If a part is not one of the three.
        """
        strange = sorted({part for part in added.values() if part not in PARTS})
        if strange:
            raise InvalidInputError(f"A part must be one of {', '.join(PARTS)}, got {', '.join(strange)}.")
        try:
            with self._database.writing() as session:
                rows = session.scalars(select(SplitRow).where(SplitRow.task == task))
                known = {row.patient_key: row.split for row in rows}
                moved = sum(known.get(patient, part) != part for patient, part in added.items())
                if moved:
                    raise ConflictError(_moved(task, moved))
                session.add_all(
                    SplitRow(task=task, patient_key=patient, split=part)
                    for patient, part in sorted(added.items())  # one order for all, or two writers wait for each other
                    if patient not in known
                )
                session.flush()
        except IntegrityError as error:  # another writer was first, on a database without SQLite's single writer
            raise ConflictError(_moved(task, 1)) from error


def _moved(task: str, count: int) -> str:
    return (
        f"A patient must stay in one part of the split of '{task}', got {count} that would move. "
        f"Read the split again: another training may have just assigned them."
    )
