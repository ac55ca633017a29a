"""Jobs in the database: what was asked for, how far it is, how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, cast

from sqlalchemy import JSON, BigInteger, Float, Integer, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ..annotations.database import Base, Database, UtcDateTime, utc_now
from ..errors import BusyError, ConflictError, UnknownJobError
from .process import ProcessMark

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        "queued": frozenset({"running", "cancelled"}),
        "running": frozenset({"succeeded", "failed", "cancelled", "interrupted"}),
        "succeeded": frozenset(),
        "failed": frozenset(),
        "cancelled": frozenset(),
        "interrupted": frozenset(),
    }
)
ACTIVE: tuple[JobState, ...] = ("queued", "running")


class JobRow(Base):
    """One job."""

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
        kind: `train`.
        task: Task name.
        request: `{"task", "options"}`, without addresses or credentials.
        user: Who asked for it.
        state: Where it stands, see `TRANSITIONS`.
        process: Its process, once there is one.
        created: UTC.
        started: UTC.
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


class JobStore:
    """Reads and advances jobs; any number of threads and processes may use one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, kind: str, *, task: str, request: Mapping[str, Any], user: str | None = None, enqueue: bool = False
    ) -> Job:
        """Queue a job.

        Args:
            kind: Which sort of work.
            task: Task name.
            request: What the process is to do; JSON-able, without secrets.
            user: Who asks.
            enqueue: Also when the task has such a job already.

        Raises:
            BusyError: If a job of this kind and task waits or runs, unless `enqueue`.
        """
        with self._database.writing() as session:
            same = select(JobRow).where(JobRow.kind == kind, JobRow.task == task, JobRow.state.in_(ACTIVE)).limit(1)
            other = session.scalars(same).first()
            if other is not None and not enqueue:
                raise BusyError(
                    f"A task must have one {kind} job at a time, got job {other.id} of '{task}' {other.state} already. "
                    f"Wait for it, cancel it, or ask for this one to be queued."
                )
            row = JobRow(
                id=uuid.uuid4().hex,
                kind=kind,
                task=task,
                request=dict(request),
                author=user,
                state="queued",
                created=utc_now(),
                progress=0.0,
                message="waiting",
            )
            session.add(row)
            session.flush()
            return _job(row)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            UnknownJobError: If there is none of that id.
        """
        with self._database.reading() as session:
            return _job(_row(session, job_id))

    def jobs(self, *, kind: str | None = None, states: tuple[JobState, ...] | None = None) -> list[Job]:
        """Jobs in the order they were asked for."""
        query = select(JobRow).order_by(JobRow.sequence)
        if kind is not None:
            query = query.where(JobRow.kind == kind)
        if states is not None:
            query = query.where(JobRow.state.in_(states))
        with self._database.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    def claim_next(self) -> Job | None:
        """Set the job that has waited longest to running; None when none waits."""
        query = select(JobRow).where(JobRow.state == "queued").order_by(JobRow.sequence).limit(1).with_for_update()
        with self._database.writing() as session:
            row = session.scalars(query).first()
            if row is None:
                return None
            _advance(row, "running")
            row.started = utc_now()
            row.message = "starting"
            return _job(row)

    def set_process(self, job_id: str, process: ProcessMark) -> None:
        """Record which process does the work."""
        with self._database.writing() as session:
            row = _row(session, job_id)
            row.pid, row.process_started = process.pid, process.started

    def set_progress(self, job_id: str, *, progress: float, message: str) -> None:
        """Record how far a running job is; one that has ended is left as it is."""
        with self._database.writing() as session:
            row = _row(session, job_id)
            if row.state == "running":
                row.progress, row.message = progress, message

    def finish(
        self, job_id: str, state: JobState, *, result: Mapping[str, Any] | None = None, error: str | None = None
    ) -> Job:
        """Record how a job ended.

        Raises:
            ConflictError: If it cannot come to that state from the one it is in.
        """
        with self._database.writing() as session:
            row = _row(session, job_id)
            _advance(row, state)
            row.ended = utc_now()
            row.result = None if result is None else dict(result)
            row.error = error
            row.message = error or state
            row.progress = 1.0 if state == "succeeded" else row.progress
            return _job(row)

    def cancel_queued(self, job_id: str) -> Job:
        """Take a waiting job off the queue; one that already runs is returned as it is.

        Raises:
            UnknownJobError: If there is none of that id.
            ConflictError: If it has ended.
        """
        with self._database.writing() as session:
            row = _row(session, job_id)
            if row.state != "running":
                _advance(row, "cancelled")
                row.ended = utc_now()
                row.error = row.message = "Cancelled before it started."
            return _job(row)


def _row(session: Session, job_id: str) -> JobRow:
    row = session.scalars(select(JobRow).where(JobRow.id == job_id)).first()
    if row is None:
        raise UnknownJobError(f"Job '{job_id[:64]}' must be known, got no job of that id.")
    return row


def _advance(row: JobRow, state: JobState) -> None:
    if state not in TRANSITIONS[cast(JobState, row.state)]:
        raise ConflictError(f"Job {row.id} must not go from {row.state} to {state}. Start a new one.")
    row.state = state


def _job(row: JobRow) -> Job:
    marked = row.pid is not None and row.process_started is not None
    return Job(
        id=row.id,
        kind=row.kind,
        task=row.task,
        request=dict(row.request),
        user=row.author,
        state=cast(JobState, row.state),
        process=ProcessMark(pid=row.pid or 0, started=row.process_started or 0.0) if marked else None,
        created=row.created,
        started=row.started,
        ended=row.ended,
        progress=row.progress,
        message=row.message,
        result=None if row.result is None else dict(row.result),
        error=row.error,
    )
