"""Leases: an image handed out to one user is handed to nobody else until it is released or the time is up.

Taking one is atomic across threads and processes: the image id is the table's key. A power cut may forget the last
ones. Times are the clock of the machine that hands out. Lock order within a transaction: lease, case, notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import ConflictError, InvalidInputError
from .annotation import safe
from .audit import record
from .database import Database, locked_row, utc_now
from .tables import LeaseRow

DEFAULT_LEASE_S = 30 * 60.0


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One image handed out.

    Attributes:
        image_id: Which.
        holder: To whom.
        taken: When, as ISO 8601 in UTC.
        expires: Until when, unless it is renewed or released; the same form.
    """

    image_id: str
    holder: str
    taken: str
    expires: str

    def to_json(self) -> dict[str, Any]:
        """For clients and programs."""
        return dict(vars(self))


class LeaseTable:
    """Takes, renews, releases and lists leases; any number of threads and processes may.

    Args:
        database: Where they are.
        duration_s: From taking or renewing to expiry.
    """

    def __init__(self, database: Database, *, duration_s: float = DEFAULT_LEASE_S) -> None:
        self._database = database
        self.duration_s = duration_s

    def take(self, image_id: str, holder: str) -> Lease:
        """Take an image; one's own lease is renewed, one that has expired taken over.

        Raises:
            UnsafeIdError: If the image id is not safe.
            InvalidInputError: If there is no name to hold it.
            ConflictError: If somebody else holds it.
        """
        safe(image_id, what="An image id")
        with self._database.writing(durable=False) as session:
            return take_lease(session, image_id, holder=holder, duration_s=self.duration_s)

    def renew(self, image_id: str, holder: str) -> Lease:
        """Hold on to an image for the whole duration again.

        Raises:
            ConflictError: If the holder has it no more.
        """
        with self._database.writing(durable=False) as session:
            row = session.get(LeaseRow, image_id, with_for_update=True)
            if row is None or row.holder != holder or row.expires <= utc_now():
                raise ConflictError(
                    f"Image '{image_id[:64]}' must be leased by the one who renews, got no such lease. Take it again."
                )
            row.expires = utc_now() + timedelta(seconds=self.duration_s)
            return _lease(row)

    def release(self, image_id: str, holder: str | None, *, by: str | None = None) -> bool:
        """Give an image back.

        Args:
            image_id: Which.
            holder: Whose lease; None gives back anybody's.
            by: Who asks, when it is not the holder.

        Returns:
            Whether there was a lease.

        Raises:
            ConflictError: If somebody else holds it.
        """
        with self._database.writing(durable=False) as session:
            row = session.get(LeaseRow, image_id, with_for_update=True)
            if row is not None and holder is not None and row.holder != holder and row.expires > utc_now():
                raise _taken(row)
            return drop_lease(session, image_id, holder=holder, by=by)

    def active(self, *, holder: str | None = None) -> list[Lease]:
        """Leases that have not expired, those taken first in front."""
        query = select(LeaseRow).where(LeaseRow.expires > utc_now()).order_by(LeaseRow.taken, LeaseRow.image_id)
        if holder is not None:
            query = query.where(LeaseRow.holder == holder)
        with self._database.reading() as session:
            return [_lease(row) for row in session.scalars(query)]


def take_lease(session: Session, image_id: str, *, holder: str, duration_s: float) -> Lease:
    """Take or renew within a transaction.

    Raises:
        InvalidInputError: If there is no name to hold it.
        ConflictError: If somebody else holds it.
    """
    if not holder:
        raise InvalidInputError("A lease must have a holder, got no name. Say who you are with 'user' or 'client_id'.")
    now = utc_now()
    expires = now + timedelta(seconds=duration_s)

    def new() -> LeaseRow:
        return LeaseRow(image_id=image_id, holder=holder, taken=now, expires=expires)

    row, added = locked_row(session, LeaseRow, image_id, new)
    if not added and row.expires > now:
        if row.holder != holder:
            raise _taken(row)
        row.expires = expires
        return _lease(row)
    if not added:
        record(session, "expire", image_id, user=row.holder, details={"expired": row.expires.isoformat()})
        row.holder, row.taken, row.expires = holder, now, expires
    record(session, "lease", image_id, user=holder, details={"until": expires.isoformat()})
    return _lease(row)


def drop_lease(session: Session, image_id: str, *, holder: str | None, by: str | None = None) -> bool:
    """Release within a transaction if the holder has it, or anybody where no holder is named; whether it did."""
    row = session.get(LeaseRow, image_id, with_for_update=True)
    if row is None or (holder is not None and row.holder != holder):
        return False
    session.delete(row)
    record(session, "release", image_id, user=by or row.holder, details={"holder": row.holder})
    return True


def _taken(row: LeaseRow) -> ConflictError:
    return ConflictError(
        f"Image '{row.image_id}' must be free, got leased by '{row.holder}' until {row.expires:%H:%M} UTC. "
        f"Wait, ask for another image, or have the lease released."
    )


def _lease(row: LeaseRow) -> Lease:
    return Lease(
        image_id=row.image_id,
        holder=row.holder,
        taken=row.taken.isoformat(),
        expires=row.expires.isoformat(),
    )
