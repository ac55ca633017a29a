"""Tables of the annotation store. What an annotator made is only ever added to."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    case,
    event,
    select,
)
from sqlalchemy.orm import Mapped, Mapper, column_property, mapped_column

from ..errors import ConflictError
from .database import Base, UtcDateTime

# SQLite numbers rows by itself only for a column of type INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")


class AnnotationRow(Base):
    """One immutable version of one image's labels; its voxels are in a file.

    `sequence` orders the versions: clocks may stand still or go back.
    """

    __tablename__ = "annotations"
    __table_args__ = (Index("annotations_by_image", "image_id", "tag", "sequence"), {"sqlite_autoincrement": True})

    sequence: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    image_id: Mapped[str] = mapped_column(String(128))
    task: Mapped[str | None] = mapped_column(String(128))
    tag: Mapped[str] = mapped_column(String(128))
    author: Mapped[str | None] = mapped_column(String(256))
    parent: Mapped[str | None] = mapped_column(ForeignKey("annotations.id"))
    model_version: Mapped[str | None] = mapped_column(String(128))
    origin: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    sha256: Mapped[str] = mapped_column(String(64))
    file_name: Mapped[str] = mapped_column(String(300))
    names: Mapped[dict[str, int]] = mapped_column(JSON)
    grid: Mapped[dict[str, Any]] = mapped_column(JSON)
    voxels_changed: Mapped[int | None] = mapped_column(BigInteger)
    patient_key: Mapped[str] = mapped_column(String(64), index=True)
    time_spent_s: Mapped[float | None] = mapped_column(Float(53))
    sources: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    findings: Mapped[dict[str, bool | None] | None] = mapped_column(JSON(none_as_null=True))


class WithdrawalRow(Base):
    """Takes an annotation out of use; the annotation and its file stay."""

    __tablename__ = "withdrawals"

    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    author: Mapped[str | None] = mapped_column(String(256))
    reason: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime] = mapped_column(UtcDateTime)


class DeliveryRow(Base):
    """The way of one annotation into the PACS, with the UIDs it will have there.

    `document` is read from the annotation: findings become an SR document, all else a SEG.
    """

    __tablename__ = "deliveries"

    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    next_try: Mapped[datetime] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    document: Mapped[str] = column_property(
        select(case((AnnotationRow.findings.is_not(None), "SR"), else_="SEG"))
        .where(AnnotationRow.id == annotation_id)
        .correlate_except(AnnotationRow)
        .scalar_subquery()
    )


class CaseStateRow(Base):
    """Where the work on one image for one task stands; how it came there is in the audit trail.

    A case without a row is `unlabelled`. `task` is empty for labels that were made for none.
    """

    __tablename__ = "case_states"

    image_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    task: Mapped[str] = mapped_column(String(128), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    annotation_id: Mapped[str | None] = mapped_column(ForeignKey("annotations.id"))
    author: Mapped[str | None] = mapped_column(String(256))
    reason: Mapped[str] = mapped_column(Text, default="")
    changed: Mapped[datetime] = mapped_column(UtcDateTime)


class LeaseRow(Base):
    """One image handed out to one user; the image id is the key, so that nobody else can have it too."""

    __tablename__ = "leases"

    image_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    holder: Mapped[str] = mapped_column(String(256))
    taken: Mapped[datetime] = mapped_column(UtcDateTime)
    expires: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class AuditRow(Base):
    """One change: when, who, what, on what."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_image", "image_id", "sequence"), {"sqlite_autoincrement": True})

    sequence: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(32))
    image_id: Mapped[str] = mapped_column(String(128))
    task: Mapped[str | None] = mapped_column(String(128))
    annotation_id: Mapped[str | None] = mapped_column(String(32))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class InfoRow(Base):
    """Free notes on a subject, as JSON; the one sort of row that changes."""

    __abstract__ = True

    if TYPE_CHECKING:
        subject: Mapped[str]  # the key, which each table declares

    info: Mapped[dict[str, Any]] = mapped_column(JSON)
    updated: Mapped[datetime] = mapped_column(UtcDateTime)


class ImageInfoRow(InfoRow):
    """Free notes on an image: when a strategy handed it out, what a client wrote."""

    __tablename__ = "image_info"

    subject: Mapped[str] = mapped_column(String(128), primary_key=True)


class LabelInfoRow(InfoRow):
    """Free notes on an annotation; the annotation itself does not change."""

    __tablename__ = "label_info"

    subject: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)


class SplitRow(Base):
    """The part of a task's data that a patient belongs to, for ever."""

    __tablename__ = "splits"

    task: Mapped[str] = mapped_column(String(128), primary_key=True)
    patient_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(16))


class LookRow(Base):
    """What was last seen in an image for a task; `model_version` is empty where no model looked."""

    __tablename__ = "looks"

    task: Mapped[str] = mapped_column(String(128), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(128))
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    presence: Mapped[dict[str, float]] = mapped_column(JSON)
    updated: Mapped[datetime] = mapped_column(UtcDateTime)


class FactRow(Base):
    """A fact about this database, written once, such as the fingerprint of its patient key."""

    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


_APPEND_ONLY = (AnnotationRow, WithdrawalRow, SplitRow, FactRow, AuditRow)


def _refuse_change(_mapper: Mapper[Any], _connection: Connection, row: Base) -> None:
    raise ConflictError(f"A row of '{row.__tablename__}' must stay as it was written. Add a new one instead.")


for _table in _APPEND_ONLY:  # triggers hold the same against hand-written SQL, see `migrations.append_only`
    event.listen(_table, "before_update", _refuse_change)
    event.listen(_table, "before_delete", _refuse_change)
