"""Trainings as MONAI Label's clients ask for them, and what Slicer shows of each task's newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..jobs.job import Job
from ..jobs.options import parse_options
from ..jobs.train import KIND
from ..models.version import QUALITIES
from ..task import TaskSpec
from .background import STATES, clock
from .inputs import refuse_reserved, text_of
from .services import Services

TRAIN = KIND.name


def start_training(services: Services, spec: TaskSpec, params: Mapping[str, Any], *, enqueue: bool = False) -> Job:
    """Start training a task in a process of its own.

    Raises:
        UnsafeIdError: If a reserved key is set.
        InvalidInputError: If an option is unknown or does not fit.
        BusyError: If the task is being trained already, unless `enqueue`.
    """
    refuse_reserved(params)
    user = text_of(params, "user") or text_of(params, "client_id")
    return services.jobs.start(TRAIN, {"task": spec.name, "options": dict(params)}, user=user, enqueue=enqueue)


def train_stats(services: Services) -> dict[str, dict[str, Any]]:
    """What Slicer shows of each task's newest training; empty for a task that was never trained.

    Slicer shows the first: what trains now comes before what was trained last, and that before what never was.
    """
    newest = {job.task: job for job in services.jobs.jobs(kind=TRAIN)}
    latest_first = sorted(newest.values(), key=lambda job: (job.active, job.created), reverse=True)
    specs = [services.tasks.get(job.task) for job in latest_first if job.task in services.tasks]
    stats = {spec.name: _stats(services, spec, newest[spec.name]) for spec in specs}
    return stats | {spec.name: {} for spec in services.tasks if spec.learns and spec.name not in stats}


def _stats(services: Services, spec: TaskSpec, job: Job) -> dict[str, Any]:
    epochs = [event for event in services.jobs.events(job.id)[0] if event.get("type") == "epoch"]
    stats: dict[str, Any] = {
        "status": STATES[job.state],
        "start_ts": clock(job.started or job.created),
        "epoch": epochs[-1]["epoch"] if epochs else 0,
        "total_epochs": parse_options(spec, job.options).max_epochs,
        "best_metric": max((event[name] for event in epochs for name in QUALITIES if name in event), default=0.0),
        "message": job.message,
    }
    if job.ended is not None and job.started is not None:
        stats["total_time"] = str(job.ended - job.started)
    return stats
