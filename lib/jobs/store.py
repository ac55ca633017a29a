"""Jobs in the database: what was asked for, how far it is, how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..annotations.database import Database, utc_now
from ..errors import BusyError, ConflictError, UnknownJobError
from .job import Job, JobRow, from_row
from .process import ProcessMark
from .states import ACTIVE, TRANSITIONS, JobState


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
            if session.get_bind().dialect.name == "postgresql":  # SQLite lets one write at a time anyway
                session.execute(text("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE"))
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
            return from_row(row)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            UnknownJobError: If there is none of that id.
        """
        with self._database.reading() as session:
            return from_row(_row(session, job_id, lock=False))

    def jobs(self, *, kind: str | None = None, states: tuple[JobState, ...] | None = None) -> list[Job]:
        """Jobs in the order they were asked for."""
        query = select(JobRow).order_by(JobRow.sequence)
        if kind is not None:
            query = query.where(JobRow.kind == kind)
        if states is not None:
            query = query.where(JobRow.state.in_(states))
        with self._database.reading() as session:
            return [from_row(row) for row in session.scalars(query)]

    def claim_next(self, place: Callable[[Job, list[Job]], str | None]) -> Job | None:
        """Set the job that has waited longest, of those that have a place, to running.

        Args:
            place: A waiting job and those that run → the slot it may start in, None if it has to wait.

        Returns:
            The job, None when none can start.
        """
        waiting = select(JobRow).where(JobRow.state == "queued").order_by(JobRow.sequence).with_for_update()
        with self._database.writing() as session:
            rows = list(session.scalars(waiting))
            running = [from_row(row) for row in session.scalars(select(JobRow).where(JobRow.state == "running"))]
            for row in rows:
                slot = place(from_row(row), running)
                if slot is not None:
                    _advance(row, "running")
                    row.slot, row.attempt = slot, row.attempt + 1
                    row.started, row.message, row.error = utc_now(), "starting", None
                    return from_row(row)
        return None

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
            _end(row, state, error)
            row.result = None if result is None else dict(result)
            row.progress = 1.0 if state == "succeeded" else row.progress
            return from_row(row)

    def interrupt(self, job_id: str, error: str, *, retries: int | None, clear: Callable[[], None]) -> Job:
        """Record that a job was cut off, and queue it again in the same transaction unless that happened too often.

        Args:
            job_id: Of a running job.
            error: Why, in a sentence.
            retries: How often in a row it may be resumed by itself; None: always.
            clear: Removes what the old process left about its end; called if the job is queued again.

        Raises:
            ConflictError: If the job does not run.
        """
        with self._database.writing() as session:
            row = _row(session, job_id)
            _end(row, "interrupted", error)
            if retries is None or row.retries < retries:
                row.retries += 0 if retries is None else 1
                _queue_again(row, clear)
            return from_row(row)

    def resume(self, job_id: str, *, clear: Callable[[], None]) -> Job:
        """Queue a job again that was cancelled, failed or was interrupted; it keeps its id and its place.

        Args:
            job_id: Which.
            clear: As in `interrupt`.

        Raises:
            UnknownJobError: If there is none of that id.
            ConflictError: If it waits, runs or has succeeded.
        """
        with self._database.writing() as session:
            row = _row(session, job_id)
            if "queued" not in TRANSITIONS[cast(JobState, row.state)]:
                raise ConflictError(
                    f"A job must be cancelled, failed or interrupted to be resumed, got job {row.id} {row.state}."
                )
            row.retries = 0
            _queue_again(row, clear)
            return from_row(row)

    def cancel_queued(self, job_id: str) -> Job:
        """Take a waiting job off the queue; one that already runs is returned as it is.

        Raises:
            UnknownJobError: If there is none of that id.
            ConflictError: If it has ended.
        """
        with self._database.writing() as session:
            row = _row(session, job_id)
            if row.state == "queued":
                _end(row, "cancelled", "Cancelled while it waited.")
            elif row.state != "running":
                raise ConflictError(f"A job must wait or run to be cancelled, got job {row.id} {row.state} already.")
            return from_row(row)


def _row(session: Session, job_id: str, *, lock: bool = True) -> JobRow:
    query = select(JobRow).where(JobRow.id == job_id)
    row = session.scalars(query.with_for_update() if lock else query).first()
    if row is None:
        raise UnknownJobError(f"Job '{job_id[:64]}' must be known, got no job of that id.")
    return row


def _advance(row: JobRow, state: JobState) -> None:
    if state not in TRANSITIONS[cast(JobState, row.state)]:
        raise ConflictError(f"Job {row.id} must not go from {row.state} to {state}.")
    row.state = state


def _end(row: JobRow, state: JobState, error: str | None) -> None:
    _advance(row, state)
    row.ended = utc_now()
    row.error = error
    row.message = error or state


def _queue_again(row: JobRow, clear: Callable[[], None]) -> None:
    clear()
    _advance(row, "queued")
    row.ended = row.pid = row.process_started = None
    row.message = "waiting to go on"
