"""Everything the routes act on, built once from settings and a store's address, closed once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..annotations.outbox import Outbox
from ..annotations.store import AnnotationStore, open_annotations
from ..annotations.sweeping import sweep
from ..datastores.port import ImageStore, open_store
from ..jobs.runner import JobRunner
from ..jobs.unasked import Attendant
from ..models.store import ModelStore
from ..registry import Registry, find_tasks
from ..scoring import ScoringMethod, find_methods
from ..settings import Settings
from ..strategies import Strategy, find_strategies
from ..task import TaskSpec
from .delivery import PacsDelivery
from .outbox_process import OutboxProcess
from .prefetching import Prefetcher
from .runner import SegmentationRunners
from .sessions import Sessions
from .uploads import clear_temporary
from .workers import InferencePool

_LOG = logging.getLogger(__name__)
TAGS = ("final", "original")


class Deliverer(Protocol):
    """Brings labels to the PACS in the background: `Outbox` in this process, `OutboxProcess` in one of its own."""

    def start(self) -> None:
        """Begin to deliver."""
        ...

    def stop(self) -> None:
        """End after the delivery under way."""
        ...

    def wake(self) -> None:
        """Say that something was submitted."""
        ...

    def status(self) -> dict[str, Any]:
        """As `DeliveryTable.status`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """One server's parts. Every part is safe to use from any thread.

    Attributes:
        settings: Of this installation.
        tasks: What can be drafted and trained.
        strategies: What can choose the next image.
        scoring: What can score images.
        store: Images.
        annotations: Labels.
        models: Model versions.
        jobs: Trainings, batches, scorings.
        attendant: Starts those that nobody has to ask for.
        pool: Inference workers.
        outbox: Brings labels to the PACS.
        prefetcher: Fetches what is handed out.
        sessions: Images in no PACS.
    """

    settings: Settings
    tasks: Registry[TaskSpec]
    strategies: Registry[Strategy]
    scoring: Registry[ScoringMethod]
    store: ImageStore
    annotations: AnnotationStore
    models: ModelStore
    jobs: JobRunner
    attendant: Attendant
    pool: InferencePool
    outbox: Deliverer
    prefetcher: Prefetcher
    sessions: Sessions

    def start(self) -> None:
        """Start what works in the background."""
        clear_temporary(self.settings)
        sweep(self.annotations)
        self.pool.start()
        self.outbox.start()
        self.jobs.supervise()
        self.attendant.start()

    def close(self) -> None:
        """Stop everything; what is pending stays on disk. Safe to call twice."""
        parts = (self.attendant, self.prefetcher, self.pool, self.jobs, self.store, self.annotations)
        for part in (self.outbox.stop, *(part.close for part in parts)):
            try:
                part()
            except Exception:  # noqa: BLE001  the others must be closed all the same
                _LOG.exception("a part of the server did not stop well")

    def known_tags(self) -> Sequence[str]:
        """Label tags clients are told about."""
        return TAGS


def build_services(
    settings: Settings,
    store_url: str,
    *,
    credentials: tuple[str, str] | None = None,
    devices: Sequence[str] = ("auto",),
    delivers_apart: bool = False,
) -> Services:
    """Open everything a server needs.

    Args:
        settings: Of this installation.
        store_url: As `datastores.open_store` takes it.
        credentials: User and password of the PACS.
        devices: One inference worker is started for each.
        delivers_apart: Deliver from a process of its own, which a server with many users wants.

    Raises:
        PacsError: If the PACS does not answer.
        ConfigurationError: If the database or the address does not fit.
    """
    user, password = credentials or (None, None)
    store = open_store(store_url, settings=settings, user=user, password=password)
    tasks = find_tasks()
    annotations = open_annotations(settings)
    models = ModelStore(settings.models_dir)
    jobs = JobRunner(settings, store_url=store_url, credentials=credentials)
    outbox: Deliverer
    if delivers_apart:
        outbox = OutboxProcess(settings, annotations, store_url=store_url, credentials=credentials)
    else:
        outbox = Outbox(annotations, PacsDelivery(store=store, annotations=annotations, tasks=tasks))
    return Services(
        settings=settings,
        tasks=tasks,
        strategies=find_strategies(),
        scoring=find_methods(),
        store=store,
        annotations=annotations,
        models=models,
        jobs=jobs,
        attendant=Attendant(settings, jobs=jobs, annotations=annotations, models=models),
        pool=InferencePool(SegmentationRunners(settings), devices=devices, limit=settings.inference_queue),
        outbox=outbox,
        prefetcher=Prefetcher(store),
        sessions=Sessions(settings.sessions_dir),
    )
