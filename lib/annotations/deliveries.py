"""Deliveries: what is still to be brought to the PACS, under which UIDs, and how that went."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, cast

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ..dicom.provenance import DocumentKind, ObjectReference
from ..errors import ConflictError, UnknownLabelError
from .audit import record_delivery
from .database import Database, utc_now
from .tables import AnnotationRow, DeliveryRow

DeliveryState = Literal["pending", "delivered", "failed", "called_off"]
# `failed` waits for a person (`retry_failed`); a delivery that may still succeed by itself stays `pending`.
# A version withdrawn while it was under way is in the PACS all the same, so `called_off` may become `delivered`.
TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        "pending": frozenset({"pending", "delivered", "failed", "called_off"}),
        "failed": frozenset({"pending", "called_off"}),
        "called_off": frozenset({"delivered"}),
        "delivered": frozenset(),
    }
)
_NOT_ARRIVED: tuple[DeliveryState, ...] = ("pending", "failed")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The way of one annotation into the PACS.

    Attributes:
        annotation_id: What is delivered.
        document: As what: label maps as SEG, findings as SR.
        sop_instance_uid: Fixed at submit, so a repeated delivery is the same object.
        series_instance_uid: Fixed at submit.
        state: Where it stands.
        attempts: Tries so far.
        last_error: Why the last try failed, in words.
        next_try: Not before then, UTC.
        delivered_at: UTC.
    """

    annotation_id: str
    document: DocumentKind
    sop_instance_uid: str
    series_instance_uid: str
    state: DeliveryState
    attempts: int
    last_error: str | None
    next_try: datetime
    delivered_at: datetime | None


class DeliveryTable:
    """Reads and advances deliveries; any number of threads and processes may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session: Session, annotation_id: str) -> None:
        """Plan a delivery within the transaction that stores the annotation."""
        session.add(
            DeliveryRow(
                annotation_id=annotation_id,
                sop_instance_uid=_new_uid(),
                series_instance_uid=_new_uid(),
                state="pending",
                attempts=0,
                next_try=utc_now(),
            )
        )

    def add_arrived(self, session: Session, annotation_id: str, document: ObjectReference) -> None:
        """Within the transaction that stores an annotation read from an object in the PACS: that is its delivery.

        Raises:
            ConflictError: If the object is some annotation's already.
        """
        if session.scalars(_of_instance(document.sop_instance_uid)).first() is not None:
            raise ConflictError("An object must be adopted once, got one that is an annotation's already.")
        now = utc_now()
        session.add(
            DeliveryRow(
                annotation_id=annotation_id,
                sop_instance_uid=document.sop_instance_uid,
                series_instance_uid=document.series_instance_uid,
                state="delivered",
                attempts=0,
                next_try=now,
                delivered_at=now,
            )
        )
        record_delivery(session, annotation_id, state="delivered")

    def call_off(self, session: Session, annotation_id: str) -> None:
        """Within the transaction that withdraws an annotation: do not deliver it any more."""
        row = session.get(DeliveryRow, annotation_id)
        if row is not None and _advance(row, "called_off"):
            record_delivery(session, annotation_id, state="called_off")

    def get(self, annotation_id: str) -> Delivery:
        """The delivery of one annotation.

        Raises:
            UnknownLabelError: If none was planned.
        """
        with self._database.reading() as session:
            return _delivery(_found(session, annotation_id))

    def due(self, now: datetime, *, limit: int = 16) -> list[Delivery]:
        """Pending deliveries whose time has come: those tried least often first, so that none holds up the others."""
        query = (
            select(DeliveryRow)
            .where(DeliveryRow.state == "pending", DeliveryRow.next_try <= now)
            .order_by(DeliveryRow.attempts, DeliveryRow.next_try)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [_delivery(row) for row in session.scalars(query)]

    def next_due(self) -> datetime | None:
        """When the next pending delivery is to be tried; None when nothing is pending."""
        with self._database.reading() as session:
            return session.scalar(select(func.min(DeliveryRow.next_try)).where(DeliveryRow.state == "pending"))

    def mark_delivered(self, annotation_id: str) -> None:
        """It is in the PACS."""
        with self._database.writing() as session:
            row = _found(session, annotation_id)
            if _advance(row, "delivered"):
                row.attempts += 1
                row.last_error = None
                row.delivered_at = utc_now()
                record_delivery(session, annotation_id, state="delivered")

    def mark_retry(self, annotation_id: str, *, error: str, after_s: float) -> None:
        """It did not work this time."""
        with self._database.writing() as session:
            row = _found(session, annotation_id)
            if _advance(row, "pending"):
                row.attempts += 1
                row.last_error = error
                row.next_try = utc_now() + timedelta(seconds=after_s)

    def mark_failed(self, annotation_id: str, *, error: str) -> None:
        """It cannot work until a person changes something."""
        with self._database.writing() as session:
            row = _found(session, annotation_id)
            if _advance(row, "failed"):
                row.attempts += 1
                row.last_error = error
                record_delivery(session, annotation_id, state="failed", error=error)

    def retry_failed(self) -> int:
        """Try again what had been given up.

        Returns:
            How many deliveries that concerns.
        """
        return self._try_now("failed")

    def retry_pending(self) -> int:
        """Try at once what waits for its back-off.

        Returns:
            How many deliveries that concerns.
        """
        return self._try_now("pending")

    def retry_all(self) -> int:
        """Both.

        Returns:
            How many deliveries that concerns.
        """
        return self._try_now(*_NOT_ARRIVED)

    def retry(self, annotation_id: str) -> Delivery:
        """Try one delivery at once; one that has arrived or was called off stays as it is.

        Raises:
            UnknownLabelError: If none was planned.
        """
        with self._database.writing() as session:
            row = _found(session, annotation_id)
            if _advance(row, "pending"):
                row.next_try = utc_now()
            return _delivery(row)

    def _try_now(self, *states: DeliveryState) -> int:
        with self._database.writing() as session:
            rows = session.scalars(select(DeliveryRow).where(DeliveryRow.state.in_(states)).with_for_update()).all()
            for row in rows:
                _advance(row, "pending")
                row.next_try = utc_now()
            return len(rows)

    def newest(self, *, states: Collection[DeliveryState] = (), limit: int | None = None) -> list[Delivery]:
        """Deliveries in some states (all by default), those planned last first."""
        query = select(DeliveryRow).join(AnnotationRow, AnnotationRow.id == DeliveryRow.annotation_id)
        if states:
            query = query.where(DeliveryRow.state.in_(states))
        with self._database.reading() as session:
            return [
                _delivery(row) for row in session.scalars(query.order_by(AnnotationRow.sequence.desc()).limit(limit))
            ]

    def by_instance(self, sop_instance_uid: str) -> Delivery | None:
        """The delivery whose object has a SOPInstanceUID, arrived or not; None if it is none of ours."""
        with self._database.reading() as session:
            row = session.scalars(_of_instance(sop_instance_uid)).first()
            return None if row is None else _delivery(row)

    def status(self) -> dict[str, Any]:
        """What `/info`, the CLI and people are told.

        Returns:
            Deliveries per state, `last_error` of what has not arrived, and `oldest_waiting_s`: seconds since the
            oldest label that has not arrived was submitted; both None when all have.
        """
        query = (
            select(func.min(AnnotationRow.created))
            .join(DeliveryRow, DeliveryRow.annotation_id == AnnotationRow.id)
            .where(DeliveryRow.state.in_(_NOT_ARRIVED))
        )
        with self._database.reading() as session:
            oldest = session.scalar(query)
        waiting_s = None if oldest is None else max((utc_now() - oldest).total_seconds(), 0.0)
        return {**self.counts(), "last_error": self.last_error(), "oldest_waiting_s": waiting_s}

    def counts(self) -> dict[str, int]:
        """State → deliveries in it; every state is named."""
        with self._database.reading() as session:
            found = session.execute(select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state)).all()
        return dict.fromkeys(TRANSITIONS, 0) | {row[0]: row[1] for row in found}

    def last_error(self) -> str | None:
        """What went wrong with the delivery that has failed most often, if any has not arrived."""
        query = (
            select(DeliveryRow.last_error)
            .where(DeliveryRow.state.in_(_NOT_ARRIVED), DeliveryRow.last_error.is_not(None))
            .order_by(DeliveryRow.attempts.desc())
            .limit(1)
        )
        with self._database.reading() as session:
            return session.scalar(query)


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"  # a UUID as a UID, PS3.5 B.2


def _of_instance(sop_instance_uid: str) -> Select[DeliveryRow]:
    return select(DeliveryRow).where(DeliveryRow.sop_instance_uid == sop_instance_uid)


def _found(session: Session, annotation_id: str) -> DeliveryRow:
    row = session.get(DeliveryRow, annotation_id, with_for_update=True)
    if row is None:
        raise UnknownLabelError(f"Annotation '{annotation_id[:64]}' must have a delivery, got none planned.")
    return row


def _advance(row: DeliveryRow, state: DeliveryState) -> bool:
    """Change the state if the table allows it; a delivery settled meanwhile is left as it is."""
    if state not in TRANSITIONS[cast(DeliveryState, row.state)]:
        return False
    row.state = state
    return True


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        annotation_id=row.annotation_id,
        document=cast(DocumentKind, row.document),
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=row.series_instance_uid,
        state=cast(DeliveryState, row.state),
        attempts=row.attempts,
        last_error=row.last_error,
        next_try=row.next_try,
        delivered_at=row.delivered_at,
    )
