"""Free notes on images and versions, merged atomically; the one sort of record that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from .database import locked_row, utc_now
from .tables import InfoRow


def notes_on(session: Session, table: type[InfoRow], subject: str) -> dict[str, Any]:
    """The notes on a subject; empty when there are none."""
    row = session.get(table, subject)
    return dict(row.info) if row else {}


def merge_notes(session: Session, table: type[InfoRow], subject: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge notes into those on a subject, within a transaction that writes.

    Returns:
        All notes on the subject.
    """
    row, _ = locked_row(session, table, subject, lambda: table(subject=subject, info={}, updated=utc_now()))
    row.info = {**row.info, **changes}
    row.updated = utc_now()
    return dict(row.info)
