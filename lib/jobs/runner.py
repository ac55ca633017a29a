"""Starts jobs as subprocesses, one at a time, watches them, and recognises those an earlier server left running.

Of several processes on one installation, the one that holds the file lock in `jobs_dir` supervises; all of them may
queue and cancel. A job's process leads a session of its own, so it lives on when the server is restarted, and can be
ended with everything it started. Lock order: file lock, then database.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..annotations.database import Database, utc_now
from ..errors import CarinaError, ConflictError, InvalidInputError
from ..registry import find_tasks
from ..settings import Settings
from .folder import ImageAccess, JobFolder
from .options import parse_device, parse_options
from .process import mark_of
from .store import Job, JobState, JobStore

logger = logging.getLogger(__name__)

_WATCH_S = 0.2
_IDLE_S = 2.0
_APPEARS_WITHIN_S = 10.0
_LOCK_NAME = ".runner.lock"
_AGAIN = "Start it again: it goes on after the last finished epoch."


def training_command(folder: Path) -> Sequence[str]:
    """The process of a training; no secret is in it."""
    return [sys.executable, "-m", f"{__package__}.train", str(folder)]


class JobRunner:
    """Queues jobs and supervises their processes. Every method may be called from any thread.

    Args:
        settings: Of this installation.
        store_url: Where the images are, as `datastores.open_store` takes it.
        credentials: User and password there.
        verify_tls: True, False, or a file or folder of certificates.
        command: What to start for a job folder; another one in tests.
        grace_s: From a request to cancel to SIGKILL.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store_url: str = "",
        credentials: tuple[str, str] | None = None,
        verify_tls: bool | Path = True,
        command: Callable[[Path], Sequence[str]] = training_command,
        grace_s: float = 5.0,
    ) -> None:
        self._settings = settings
        self._access = ImageAccess(store_url=store_url, credentials=credentials, verify_tls=verify_tls)
        self._command = command
        self._grace_s = grace_s
        self._database = Database(settings.database_url)
        self._database.create_tables()
        self.store = JobStore(self._database)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._offsets: dict[str, int] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def supervise(self) -> None:
        """Begin to watch and start jobs; called by `start`, and by a server that may have been restarted."""
        with self._starting:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="carina-jobs", daemon=True)
                self._thread.start()

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Stop watching. A running job goes on, and the next server finds it."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            self._wake.set()
            thread.join(timeout_s)
        for child in self._children.values():  # nobody else may reap them while this process lives
            threading.Thread(target=child.wait, name="carina-reaper", daemon=True).start()
        self._children.clear()
        self._database.close()

    def start(self, kind: str, request: Mapping[str, Any], *, user: str | None = None, enqueue: bool = False) -> Job:
        """Queue a job; it starts when no other runs.

        Args:
            kind: `train`.
            request: `{"task": name, "options": {…}}`; options as `options.parse_options` takes them.
            user: Who asks.
            enqueue: Also when the task is being trained or waits already.

        Raises:
            InvalidInputError: If the kind, an option or a value is unknown.
            UnknownNameError: If the task is unknown.
            BusyError: If the task is being trained or waits already, unless `enqueue`.
        """
        if kind != "train":
            raise InvalidInputError(f"A job must be of kind 'train', got '{kind[:32]}'.")
        spec = find_tasks().get(str(request.get("task", "")))
        options = dict(request.get("options") or {})
        parse_options(spec, options)
        parse_device(options)
        job = self.store.add(
            kind, task=spec.name, request={"task": spec.name, "options": options}, user=user, enqueue=enqueue
        )
        self.supervise()
        self._wake.set()
        return job

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
        """Ask a job to end; it does so at its next step, or is killed after the grace time.

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
            self._wake.set()
        return job

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it has ended, or as it is when the time is up."""
        end = time.monotonic() + timeout_s
        job = self.status(job_id)
        while job.active and time.monotonic() < end:
            time.sleep(_WATCH_S / 4)
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

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._settings.jobs_dir.mkdir(parents=True, exist_ok=True)
                with FileLock(self._settings.jobs_dir / _LOCK_NAME, timeout=0):
                    self._work()
            except Timeout:
                self._pause(_IDLE_S)
            except (CarinaError, OSError) as error:  # database or disk; the processes go on meanwhile
                logger.warning("Jobs cannot be watched at the moment: %s", error)
                self._pause(_IDLE_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            for job in self.running():
                self._watch(job)
            busy = bool(self.running()) or self._start_next()
            self._pause(_WATCH_S if busy else _IDLE_S)

    def _watch(self, job: Job) -> None:
        folder = self.folder(job.id)
        self._follow(job, folder)
        child = self._children.get(job.id)
        process = job.process or folder.process() or (mark_of(child.pid) if child is not None else None)
        if process is None:
            self._watch_unseen(job, folder)
        elif not process.alive:
            process.kill_session()
            exit_code = child.wait() if child is not None else None
            self._children.pop(job.id, None)
            self._follow(job, folder)
            self._finish(job, folder, exit_code)
        elif (folder.cancel_age_s() or 0.0) > self._grace_s:
            logger.warning("Job %s did not end by itself and is killed.", job.id)
            process.kill_session()

    def _watch_unseen(self, job: Job, folder: JobFolder) -> None:
        """A server died between taking the job and noting its process."""
        waited_s = (utc_now() - (job.started or job.created)).total_seconds()
        if waited_s > _APPEARS_WITHIN_S:
            folder.ask_to_cancel()  # should it appear yet, it ends at once
            self._end(job, "interrupted", f"The server ended while it started this job. {_AGAIN}")

    def _follow(self, job: Job, folder: JobFolder) -> None:
        events, offset = folder.events(offset=self._offsets.get(job.id, 0))
        self._offsets[job.id] = offset
        reported = [event for event in events if "message" in event]
        if reported:
            last = reported[-1]
            self.store.set_progress(job.id, progress=float(last["fraction"]), message=str(last["message"]))

    def _finish(self, job: Job, folder: JobFolder, exit_code: int | None) -> None:
        outcome = folder.outcome()
        if outcome is not None and outcome.result is not None:
            self._end(job, "succeeded", None, result=outcome.result)
        elif folder.cancel_age_s() is not None:
            self._end(job, "cancelled", "Cancelled on request.")
        elif outcome is not None:
            self._end(job, outcome.state or "failed", outcome.error)
        else:
            state, error = _explained(exit_code)
            self._end(job, state, error)

    def _end(self, job: Job, state: JobState, error: str | None, *, result: Mapping[str, Any] | None = None) -> None:
        self.folder(job.id).forget_access()
        self._offsets.pop(job.id, None)
        try:
            self.store.finish(job.id, state, result=result, error=error)
        except ConflictError:  # pragma: no cover  another supervisor was first
            return
        logger.info("Job %s (%s %s) %s.", job.id, job.kind, job.task, state)

    def _start_next(self) -> bool:
        """Start the job that has waited longest; whether there was one."""
        job = self.store.claim_next()
        if job is None:
            return False
        folder = self.folder(job.id)
        settings = {**asdict(self._settings), "home": str(self._settings.home)}
        try:
            folder.prepare({"kind": job.kind, **job.request, "settings": settings}, access=self._access)
            with folder.log.open("ab") as log:
                child = subprocess.Popen(  # noqa: S603  the command is our own
                    self._command(folder.path),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            self._end(job, "failed", f"The job's process must start, got '{error.strerror}'. Check disk and memory.")
            return True
        self._children[job.id] = child
        self.store.set_process(job.id, mark_of(child.pid))  # there until it is waited for, even if it has ended
        return True

    def _pause(self, seconds: float) -> None:
        if not self._stop.is_set():
            self._wake.wait(seconds)


def _explained(exit_code: int | None) -> tuple[JobState, str]:
    """State and sentence for a process that said nothing about its end."""
    if exit_code is None:
        return "interrupted", f"The process ended while no server watched, without a result. {_AGAIN}"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        why = " Memory may have run out." if name == "SIGKILL" else ""
        return "interrupted", f"The process was ended by {name} before it had a result.{why} {_AGAIN}"
    return "failed", f"The process ended with exit status {exit_code} and without a result. See the job's log."
