"""Trainings as MONAI Label's clients see them: options in, task dictionaries out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..jobs.job import Job
from ..jobs.options import parse_options
from ..task import TaskSpec
from .inputs import refuse_reserved, text_of
from .services import Services

TRAIN = "train"
_LOG_LINES = 20
# Our states in the words of monailabel's task dictionaries, which Slicer looks for.
_STATES = {
    "queued": "SUBMITTED",
    "running": "RUNNING",
    "succeeded": "DONE",
    "failed": "ERROR",
    "cancelled": "STOPPED",
    "interrupted": "ERROR",
}


def start_training(services: Services, spec: TaskSpec, params: Mapping[str, Any], *, enqueue: bool = False) -> Job:
    """Start training a task in a process of its own.

    Raises:
        UnsafeIdError: If a reserved key is set.
        InvalidInputError: If an option is unknown or does not fit.
        BusyError: If the task is being trained already, unless `enqueue`.
    """
    refuse_reserved(params)
    parse_options(spec, params)
    user = text_of(params, "user") or text_of(params, "client_id")
    return services.jobs.start(TRAIN, {"task": spec.name, "options": dict(params)}, user=user, enqueue=enqueue)


def task_dictionary(services: Services, job: Job, *, details: bool = True) -> dict[str, Any]:
    """A job in the form of monailabel's background tasks, with carina's own facts beside it."""
    answer: dict[str, Any] = {
        "id": job.id,
        "status": _STATES[job.state],
        "request": {"model": job.task, **dict(job.request.get("options", {}))},
        "start_ts": _clock(job.started or job.created),
        "end_ts": _clock(job.ended),
        "state": job.state,
        "progress": job.progress,
        "message": job.message,
        "result": job.result,
        "error": job.error,
    }
    return {**answer, "details": services.jobs.log_tail(job.id, lines=_LOG_LINES)} if details else answer


def train_stats(services: Services) -> dict[str, dict[str, Any]]:
    """What Slicer shows of each task's newest training; empty for a task that was never trained."""
    newest = {job.task: job for job in services.jobs.jobs(kind=TRAIN)}
    return {
        spec.name: _stats(services, spec, newest[spec.name]) if spec.name in newest else {} for spec in services.tasks
    }


def _stats(services: Services, spec: TaskSpec, job: Job) -> dict[str, Any]:
    epochs = [event for event in services.jobs.events(job.id)[0] if event["type"] == "epoch"]
    stats: dict[str, Any] = {
        "status": _STATES[job.state],
        "start_ts": _clock(job.started or job.created),
        "epoch": epochs[-1]["epoch"] if epochs else 0,
        "total_epochs": parse_options(spec, job.request.get("options", {})).max_epochs,
        "best_metric": max((event["dice"] for event in epochs if "dice" in event), default=0.0),
        "message": job.message,
    }
    if job.ended is not None and job.started is not None:
        stats["total_time"] = str(job.ended - job.started)
    return stats


def _clock(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else None
