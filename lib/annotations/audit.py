"""The audit trail: every change of an image's work, in the order it happened, only ever added to.

Rows are written in the transaction of the change itself, so that there is no change without its row and no row without
its change. Times are the writing machine's clock; `sequence` is the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import Database, utc_now
from .states import Action
from .tables import AnnotationRow, AuditRow

AuditAction = Action | Literal["consensus", "adopt", "note", "lease", "release", "expire", "delivery"]
PAGE = 100


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One change.

    Attributes:
        sequence: Order in the database; ask for the next page with it.
        created: UTC.
        user: Who; None when nobody said so, or the server itself.
        action: What.
        image_id: On which image.
        task: For which task, if for one.
        annotation_id: Which version, if one.
        details: What else, such as the states `from` and `to` or a `reason`; never voxels, never patient data.
    """

    sequence: int
    created: datetime
    user: str | None
    action: AuditAction
    image_id: str
    task: str | None
    annotation_id: str | None
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """For clients and programs."""
        return {**vars(self), "created": self.created.isoformat(), "details": dict(self.details)}


class AuditTrail:
    """Reads the trail; any number of threads and processes may."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, *, image_id: str | None = None, after: int = 0, limit: int = PAGE) -> list[AuditEntry]:
        """Entries in their order.

        Args:
            image_id: Of one image; None takes all.
            after: Only those with a larger `sequence`.
            limit: At most so many.
        """
        query = select(AuditRow).where(AuditRow.sequence > after).order_by(AuditRow.sequence).limit(limit)
        if image_id is not None:
            query = query.where(AuditRow.image_id == image_id)
        with self._database.reading() as session:
            return [_entry(row) for row in session.scalars(query)]

    def of_image(self, image_id: str) -> list[AuditEntry]:
        """Everything about one image."""
        query = select(AuditRow).where(AuditRow.image_id == image_id).order_by(AuditRow.sequence)
        with self._database.reading() as session:
            return [_entry(row) for row in session.scalars(query)]


def record(
    session: Session,
    action: AuditAction,
    image_id: str,
    *,
    task: str | None = None,
    user: str | None = None,
    annotation_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry within the transaction of its change; `details` without a value are left out."""
    session.add(
        AuditRow(
            created=utc_now(),
            author=user,
            action=action,
            image_id=image_id,
            task=task or None,
            annotation_id=annotation_id,
            details={key: value for key, value in (details or {}).items() if value not in (None, "")},
        )
    )


def record_delivery(session: Session, annotation_id: str, *, state: str, error: str | None = None) -> None:
    """Add that an annotation's delivery to the PACS came to a state, within the transaction that says so.

    Args:
        session: The delivery's transaction.
        annotation_id: What is delivered.
        state: Such as `delivered`.
        error: Why not, in words.
    """
    version = session.execute(
        select(AnnotationRow.image_id, AnnotationRow.task).where(AnnotationRow.id == annotation_id)
    ).one()
    record(
        session,
        "delivery",
        version.image_id,
        task=version.task,
        annotation_id=annotation_id,
        details={"state": state, "error": error},
    )


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        sequence=row.sequence,
        created=row.created,
        user=row.author,
        action=cast(AuditAction, row.action),
        image_id=row.image_id,
        task=row.task,
        annotation_id=row.annotation_id,
        details=dict(row.details),
    )
