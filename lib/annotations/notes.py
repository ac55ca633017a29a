"""Free notes on images and versions, merged atomically; the one sort of record that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..regions import Place, place_from_json
from .database import locked_rows, utc_now
from .tables import InfoRow

ADOPTED = "adopted"
"""The note on a version that says which object of the PACS it was read from; clients cannot change it."""

PLACE = "place"
"""The note on a version that says which part of the image it is about; clients cannot change it."""


def place_in(notes: Mapping[str, Any]) -> Place | None:
    """Which part of its image a version is about, by its notes; None for all of it."""
    place = notes.get(PLACE)
    return None if place is None else place_from_json(place)


def notes_on(session: Session, table: type[InfoRow], subject: str) -> dict[str, Any]:
    """The notes on a subject; empty when there are none."""
    row = session.get(table, subject)
    return dict(row.info) if row else {}


def merge_notes(session: Session, table: type[InfoRow], subject: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge notes into those on a subject, within a transaction that writes.

    Returns:
        All notes on the subject.
    """
    return merge_all_notes(session, table, {subject: changes})[subject]


def merge_all_notes(
    session: Session, table: type[InfoRow], changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """As `merge_notes`, of several subjects at once: subject → notes, to be merged and as they are then."""
    now = utc_now()
    rows = locked_rows(
        session,
        select(table).where(table.subject.in_(changes)).order_by(table.subject),
        key=lambda row: row.subject,
        new=lambda subject: table(subject=subject, info={}, updated=now),
        wanted=changes,
    )
    for subject, more in changes.items():
        rows[subject].info = {**rows[subject].info, **more}
        rows[subject].updated = now
    return {subject: dict(rows[subject].info) for subject in changes}
