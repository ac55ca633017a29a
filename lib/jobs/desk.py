"""Where jobs are asked for, looked at, cancelled and resumed: by any process of an installation, at any time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..annotations.database import Database
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .folder import JobFolder
from .job import Job
from .kind import find_kinds
from .options import parse_device
from .store import JobStore

_ASK_AGAIN_S = 0.05


class JobDesk:
    """Everything about jobs but running them. Every method may be called from any thread.

    Args:
        settings: Of this installation.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url)
        self._database.create_tables()
        self.kinds = find_kinds()
        self.store = JobStore(self._database)

    def close(self) -> None:
        """Give the database connections back."""
        self._database.close()

    def queue(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        user: str | None = None,
        enqueue: bool = False,
        why: str = "",
    ) -> Job:
        """Queue a job; it starts when a slot is free and somebody supervises.

        Args:
            kind: Name of one of `kinds`.
            request: `{"task": name, "options": {…}}`; options as the kind's `check` takes them, and `device`.
            user: Who asks.
            enqueue: Also when such a job of the task waits or runs already.
            why: What made it due, if nobody asked for it.

        Raises:
            InvalidInputError: If an option or a value is unknown, or the task has no model at all.
            UnknownNameError: If the kind or the task is unknown.
            BusyError: If such a job of the task waits or runs already, unless `enqueue`.
        """
        found = self.kinds.get(kind)
        spec = find_tasks().get(str(request.get("task", "")))
        require_network(spec)
        options = dict(request.get("options") or {})
        parse_device(options)
        found.check(spec, options)
        content = {"task": spec.name, "options": options, **({"why": why} if why else {})}
        return self.store.add(kind, task=spec.name, request=content, user=user, enqueue=enqueue)

    def status(self, job_id: str) -> Job:
        """One job.

        Raises:
            UnknownJobError: If there is none of that id.
        """
        return self.store.get(job_id)

    def jobs(self, kind: str | None = None) -> list[Job]:
        """All jobs in the order they were asked for."""
        return self.store.jobs(kind=kind)

    def running(self, kind: str | None = None) -> list[Job]:
        """Jobs whose process works at the moment."""
        return self.store.jobs(kind=kind, states=("running",))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to end: it does so at its next step and leaves a checkpoint, or is killed after the grace time.

        Returns:
            The job, `cancelled` if it still waited, else `running` until its process is gone.

        Raises:
            UnknownJobError: If there is none of that id.
            ConflictError: If it has ended.
        """
        job = self.store.cancel_queued(job_id)
        if job.state == "running":
            self.folder(job_id).ask_to_cancel()
            process = job.process or self.folder(job_id).process()
            if process is not None:
                process.ask_to_end()
        return job

    def resume(self, job_id: str) -> Job:
        """Queue a job again that was cancelled, failed or was interrupted; it goes on from its last checkpoint.

        Raises:
            UnknownJobError: If there is none of that id.
            ConflictError: If it waits, runs or has succeeded.
        """
        return self.store.resume(job_id, clear=self.folder(job_id).clear_for_resuming)

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it has ended, or as it is when the time is up."""
        end = time.monotonic() + timeout_s
        job = self.status(job_id)
        while job.active and time.monotonic() < end:
            time.sleep(_ASK_AGAIN_S)
            job = self.status(job_id)
        return job

    def events(self, job_id: str, *, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """What a job reported from a byte offset on, and the offset to ask from next time."""
        return self.folder(self.status(job_id).id).events(offset=offset)

    def log_tail(self, job_id: str, *, lines: int = 50) -> list[str]:
        """The last lines of a job's log."""
        return self.folder(self.status(job_id).id).log_tail(lines=lines)

    def folder(self, job_id: str) -> JobFolder:
        """A job's files."""
        return JobFolder(self._settings.jobs_dir / job_id)
