"""One job: its row in the database, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..annotations.database import Base, UtcDateTime
from .process import ProcessMark
from .states import ACTIVE, JobState


class JobRow(Base):
    """One job; `sequence` is its place in the queue, which it keeps when it is resumed."""

    __tablename__ = "jobs"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  SQLAlchemy reads it as it is

    sequence: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    id: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    task: Mapped[str] = mapped_column(String(128))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    author: Mapped[str | None] = mapped_column(String(256))
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempt: Mapped[int] = mapped_column(default=0)
    retries: Mapped[int] = mapped_column(default=0)
    slot: Mapped[str | None] = mapped_column(String(64))
    pid: Mapped[int | None]
    process_started: Mapped[float | None] = mapped_column(Float(53))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    started: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as it stood when it was read.

    Attributes:
        id: 32 hexadecimal digits.
        kind: `train`, `infer` or another of `kind.find_kinds`.
        task: Task name.
        request: `{"task", "options"}` and maybe `why`, without addresses or credentials.
        user: Who asked for it.
        state: Where it stands, see `states.TRANSITIONS`.
        attempt: How often its process was started; 0 before the first time.
        retries: How often in a row it was resumed by itself; a person's resuming begins anew.
        slot: Where its newest process runs or ran, such as `cpu` or `cuda:0`.
        process: Its newest process, once there is one.
        created: UTC.
        started: UTC; of the newest attempt.
        ended: UTC.
        progress: 0–1.
        message: What it is doing, in a few words.
        result: What it gave.
        error: Why it ended otherwise, in a sentence; the traceback is in its log.
    """

    id: str
    kind: str
    task: str
    request: Mapping[str, Any]
    user: str | None
    state: JobState
    attempt: int
    retries: int
    slot: str | None
    process: ProcessMark | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    progress: float
    message: str
    result: Mapping[str, Any] | None
    error: str | None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def why(self) -> str:
        """What made it due, if nobody asked for it."""
        return str(self.request.get("why") or "")

    @property
    def options(self) -> Mapping[str, Any]:
        """What was asked for besides the task."""
        return cast("Mapping[str, Any]", self.request.get("options") or {})


def from_row(row: JobRow) -> Job:
    """Plain data of a row."""
    marked = row.pid is not None and row.process_started is not None
    return Job(
        id=row.id,
        kind=row.kind,
        task=row.task,
        request=dict(row.request),
        user=row.author,
        state=cast(JobState, row.state),
        attempt=row.attempt,
        retries=row.retries,
        slot=row.slot,
        process=ProcessMark(pid=row.pid or 0, started=row.process_started or 0.0) if marked else None,
        created=row.created,
        started=row.started,
        ended=row.ended,
        progress=row.progress,
        message=row.message,
        result=None if row.result is None else dict(row.result),
        error=row.error,
    )
