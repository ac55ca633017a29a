"""Jobs as MONAI Label's clients see background tasks, whatever their kind."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..errors import ConflictError, NotFoundError
from ..jobs.job import Job
from .services import Services

_LOG_LINES = 20
# Our states in the words of monailabel's task dictionaries, which Slicer looks for.
STATES = {
    "queued": "SUBMITTED",
    "running": "RUNNING",
    "succeeded": "DONE",
    "failed": "ERROR",
    "cancelled": "STOPPED",
    "interrupted": "ERROR",
}


def task_dictionary(services: Services, job: Job, *, details: bool = True) -> dict[str, Any]:
    """A job in the form of monailabel's background tasks, with carina's own facts beside it."""
    answer: dict[str, Any] = {
        "id": job.id,
        "status": STATES[job.state],
        "request": {"model": job.task, **job.options},
        "start_ts": clock(job.started or job.created),
        "end_ts": clock(job.ended),
        "kind": job.kind,
        "state": job.state,
        "user": job.user,
        "why": job.why,
        "attempt": job.attempt,
        "slot": job.slot,
        "progress": job.progress,
        "message": job.message,
        "result": job.result,
        "error": job.error,
    }
    if not details:
        return answer
    # Slicer reads the last line of what it stops, whether there is one or not.
    return {**answer, "details": services.jobs.log_tail(job.id, lines=_LOG_LINES) or [job.message]}


def status(services: Services, kind: str, *, all_of_them: bool, check_if_running: bool) -> Any:
    """The newest job of a kind, all of them, or the one that runs.

    Raises:
        NotFoundError: If there is none, as MONAI Label's clients expect.
    """
    jobs = services.jobs.jobs(kind=kind)
    if check_if_running:
        running = [job for job in jobs if job.active]
        if not running:
            raise NotFoundError(f"A job of kind '{kind}' must be running, got none.")
        return task_dictionary(services, running[0], details=False)
    if not jobs:
        raise NotFoundError(f"A job of kind '{kind}' must have been started, got none.")
    if all_of_them:
        return [task_dictionary(services, job) for job in jobs]
    return task_dictionary(services, jobs[-1])


def stop(services: Services, kind: str) -> dict[str, Any]:
    """Cancel the job of a kind that runs and those that wait; the first of them, empty if there was none."""
    active = [job for job in services.jobs.jobs(kind=kind) if job.active]
    for job in active:
        try:
            services.jobs.cancel(job.id)
        except ConflictError:  # it ended just now
            continue
    return task_dictionary(services, services.jobs.status(active[0].id)) if active else {}


def clock(moment: datetime | None) -> str | None:
    """A time as MONAI Label writes it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else None
