"""Starts jobs as subprocesses, one in each slot, watches them, and recognises those an earlier server left running.

Of several processes on one installation, the one that holds the file lock in `jobs_dir` supervises; all of them may
queue, cancel and resume. A job's process leads a session of its own, so it lives on when the server is restarted, and
can be ended with everything it started. Lock order: file lock, then database.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..annotations.database import utc_now
from ..errors import CarinaError, ConflictError
from ..processes import python_module
from ..settings import Settings
from .desk import JobDesk
from .folder import ImageAccess, JobFolder
from .job import Job
from .options import parse_device
from .process import mark_of
from .slots import Slot, find_slots, suitable
from .states import RULES, Cause

logger = logging.getLogger(__name__)

_WATCH_S = 0.2
_IDLE_S = 2.0
_APPEARS_WITHIN_S = 10.0
_LOCK_NAME = ".runner.lock"


def job_command(folder: Path) -> Sequence[str]:
    """The process of a job; no secret is in it."""
    return python_module(f"{__package__}.work", str(folder))


class JobRunner(JobDesk):
    """A desk that also supervises the jobs' processes. Every method may be called from any thread.

    Args:
        settings: Of this installation.
        store_url: Where the images are, as `datastores.open_store` takes it.
        credentials: User and password there.
        verify_tls: True, False, or a file or folder of certificates.
        command: What to start for a job folder; another one in tests.
        slots: Where jobs run; this machine's GPUs and its CPU by default.
        grace_s: From a request to cancel to SIGKILL; with what it takes to see the end, cancelling takes 5 s at most.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store_url: str = "",
        credentials: tuple[str, str] | None = None,
        verify_tls: bool | Path = True,
        command: Callable[[Path], Sequence[str]] = job_command,
        slots: Sequence[Slot] | None = None,
        grace_s: float = 4.0,
    ) -> None:
        super().__init__(settings)
        self._access = ImageAccess(store_url=store_url, credentials=credentials, verify_tls=verify_tls)
        self._command = command
        self._slots = find_slots() if slots is None else tuple(slots)
        self._grace_s = grace_s
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
        super().close()

    def start(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        user: str | None = None,
        enqueue: bool = False,
        why: str = "",
    ) -> Job:
        """Queue a job as `queue` does, and supervise it."""
        job = self.queue(kind, request, user=user, enqueue=enqueue, why=why)
        self.supervise()
        self._wake.set()
        return job

    def cancel(self, job_id: str) -> Job:
        """See `JobDesk.cancel`."""
        job = super().cancel(job_id)
        self._wake.set()
        return job

    def resume(self, job_id: str) -> Job:
        """See `JobDesk.resume`."""
        job = super().resume(job_id)
        self._wake.set()
        return job

    def settle(self) -> bool:
        """Record once what became of running jobs, start none; whether nobody else supervises them."""
        try:
            self._settings.jobs_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(self._settings.jobs_dir / _LOCK_NAME, timeout=0):
                for job in self.running():
                    self._watch(job)
        except Timeout:
            return False
        return True

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
            except Exception:
                # Whatever it is, without this thread no job would start or end until the server is restarted.
                logger.exception("Jobs cannot be watched at the moment.")
                self._pause(_IDLE_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            for job in self.running():
                self._watch(job)
            while not self._stop.is_set() and self._start_next():
                pass
            self._pause(_WATCH_S if self.running() else _IDLE_S)

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
            self._end(job, "start")

    def _follow(self, job: Job, folder: JobFolder) -> None:
        events, offset = folder.events(offset=self._offsets.get(job.id, 0))
        self._offsets[job.id] = offset
        reported = [event for event in events if event.get("type") == "progress"]
        if reported:
            last = reported[-1]
            self.store.set_progress(job.id, progress=float(last["fraction"]), message=str(last["message"]))

    def _finish(self, job: Job, folder: JobFolder, exit_code: int | None) -> None:
        outcome = folder.outcome()
        if outcome is not None and outcome.result is not None:
            self._end(job, "result", result=outcome.result)
        elif folder.cancel_age_s() is not None:
            self._end(job, "cancel")
        elif outcome is not None:
            self._end(job, outcome.cause or "error", outcome.error)
        elif exit_code is None:
            self._end(job, "loss")
        elif exit_code < 0:
            self._end(job, "signal", RULES["signal"].sentence.format(signal=_signal_name(-exit_code)))
        else:
            self._end(job, "silence", RULES["silence"].sentence.format(status=exit_code))

    def _end(
        self, job: Job, cause: Cause, error: str | None = None, *, result: Mapping[str, Any] | None = None
    ) -> None:
        rule, folder = RULES[cause], self.folder(job.id)
        error = error or rule.sentence or None
        folder.forget_access()
        # Before the row: who sees that the job has ended finds the event too.
        folder.append_event({"type": "state", "state": rule.state, "attempt": job.attempt, "error": error})
        try:
            if rule.state == "interrupted":
                ended = self.store.interrupt(job.id, error or "", retries=rule.retries, clear=folder.clear_ending)
            else:
                ended = self.store.finish(job.id, rule.state, result=result, error=error)
        except ConflictError:  # pragma: no cover  another supervisor was first
            return
        if rule.state == "succeeded":
            folder.forget_checkpoint()
        self._offsets.pop(job.id, None)
        going_on = ", and is resumed" if ended.active else ""
        logger.info("Job %s (%s %s) %s%s.", job.id, job.kind, job.task, rule.state, going_on)

    def _place(self, job: Job, running: list[Job]) -> str | None:
        """The free slot for a waiting job; a task has one running job of a kind, however many slots there are."""
        if any((other.kind, other.task) == (job.kind, job.task) for other in running):
            return None
        taken = {other.slot or self._slots[0].name for other in running}
        candidates = suitable(self._slots, parse_device(job.options))
        return next((slot.name for slot in candidates if slot.name not in taken), None)

    def _start_next(self) -> bool:
        """Start the job that has waited longest for a slot that is free; whether there was one."""
        job = self.store.claim_next(self._place)
        if job is None:
            return False
        folder = self.folder(job.id)
        slot = next(slot for slot in self._slots if slot.name == job.slot)
        try:
            folder.prepare(self._instructions(job, slot), access=self._access)
            folder.append_event({"type": "state", "state": "running", "attempt": job.attempt, "slot": slot.name})
            with folder.log.open("ab") as log:
                child = subprocess.Popen(  # noqa: S603  the command is our own
                    self._command(folder.path),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, **slot.environment, "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            self._end(job, "error", f"The job's process must start, got '{error.strerror}'. Check disk and memory.")
            return True
        self._children[job.id] = child
        self.store.set_process(job.id, mark_of(child.pid))  # there until it is waited for, even if it has ended
        return True

    def _instructions(self, job: Job, slot: Slot) -> dict[str, Any]:
        """What `job.json` holds."""
        return {
            "kind": job.kind,
            "task": job.task,
            "options": dict(job.options),
            "user": job.user,
            "device": slot.device(parse_device(job.options)),
            "settings": {**asdict(self._settings), "home": str(self._settings.home)},
        }

    def _pause(self, seconds: float) -> None:
        if not self._stop.is_set():
            self._wake.wait(seconds)


def _signal_name(number: int) -> str:
    """Such as SIGKILL; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
