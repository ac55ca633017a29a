"""What was read of a table, kept between readings, so that thousands of rows are not read for every answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from .database import utc_now

Value = TypeVar("Value")

_SLACK = timedelta(seconds=5)
"""A transaction may end this much after the time that it wrote into its rows."""


class Mirror(Generic[Value]):
    """The rows of a table by their key; only those that changed since are read again. Any number of threads may.

    Args:
        key: Column that tells the rows apart.
        updated: Column with the time of a row's last change.
        columns: What else `make` needs.
        where: Which rows.
        make: A value of the row: the key, and the columns.
    """

    def __init__(
        self,
        key: InstrumentedAttribute[str],
        updated: InstrumentedAttribute[datetime],
        columns: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]],
        make: Callable[[Row[Any]], Value],
        *,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> None:
        self._key = key
        self._updated = updated
        self._columns = columns
        self._make = make
        self._where = where
        self._lock = threading.Lock()
        self._found: dict[str, Value] = {}
        self._newest: datetime | None = None

    def read(self, session: Session) -> Mapping[str, Value]:
        """All rows as the session sees them: key → value. What was handed out before does not change.

        Rows that went away, and a clock that went back, make it read all of them.
        """
        with self._lock:
            counted = select(func.count(), func.max(self._updated)).where(*self._where)
            total, newest = session.execute(counted).one()
            found = {**self._found, **self._since(session, newest)}
            if len(found) != total:
                found = self._rows(session)
            self._found, self._newest = found, newest
            return found

    def _since(self, session: Session, newest: datetime | None) -> dict[str, Value]:
        before = self._newest
        if before is None or newest is None or newest < before or utc_now() < before:
            return self._rows(session)
        return self._rows(session, self._updated >= before - _SLACK)

    def _rows(self, session: Session, *changed: ColumnElement[bool]) -> dict[str, Value]:
        query = select(self._key, *self._columns).where(*self._where, *changed)
        return {row[0]: self._make(row) for row in session.execute(query)}
