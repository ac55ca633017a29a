"""What a kind of job is: one module of this package defines it as `KIND`; nothing else names a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..annotations.store import AnnotationStore
from ..datastores.port import ImageStore
from ..registry import Registry, find
from ..settings import Settings
from ..task import TaskSpec
from .events import Reporter
from .folder import JobFolder


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a job's process works with.

    Attributes:
        folder: Of the job.
        settings: Of the installation.
        spec: The task.
        options: As they were asked for and checked.
        device: As `networks.devices.resolve_device` takes it.
        user: Who asked.
        annotations: Labels.
        images: Images.
        reporter: Where progress goes.
        cancelled: Whether to end; asked between units of work.
    """

    folder: JobFolder
    settings: Settings
    spec: TaskSpec
    options: Mapping[str, Any]
    device: str
    user: str | None
    annotations: AnnotationStore
    images: ImageStore
    reporter: Reporter
    cancelled: Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """One sort of work.

    Attributes:
        name: What users and routes call it.
        description: One sentence for people.
        check: Refuses options that cannot be right, before anything is queued.
        run: Does the work in the job's process and returns its result. It may be called again for the same job after
            its process died: what was done is found in the folder and in the stores, and not done twice.
    """

    name: str
    description: str
    check: Callable[[TaskSpec, Mapping[str, Any]], None]
    run: Callable[[Work], Mapping[str, Any]]


def find_kinds() -> Registry[JobKind]:
    """All kinds: `lib/jobs/*.py` and the entry-point group `carina.jobs`."""
    package = __name__.rpartition(".")[0]
    return find("Job kind", package=package, constant="KIND", item_type=JobKind, group="carina.jobs")
