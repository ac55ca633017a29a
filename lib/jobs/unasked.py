"""What an installation does without being asked: retrain when there is enough to learn, score anew once promoted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from ..annotations.annotation import Annotation
from ..annotations.store import AnnotationStore
from ..errors import BusyError, CarinaError, ConfigurationError
from ..models.store import ModelStore
from ..registry import find_tasks
from ..settings import Settings
from ..task import TaskSpec
from ..trainers.warm_start import AUTO
from .job import Job
from .look import KIND as LOOK
from .runner import JobRunner
from .score import KIND as SCORE
from .train import KIND as TRAIN

logger = logging.getLogger(__name__)

BY_ITSELF = "carina"
"""Who asked for such a job."""
_LOOK_EVERY_S = 10.0
_NIGHT = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class RetrainRules:
    """When a task is trained again.

    Attributes:
        after: Once so many images have a label that the last training did not learn from; 0: never for that.
        at: At this hour, local time, if there is at least one; a server that was not running then has six hours.
    """

    after: int = 0
    at: time | None = None

    @staticmethod
    def of(settings: Settings) -> RetrainRules:
        """The rules of an installation.

        Raises:
            ConfigurationError: If the hour is none.
        """
        if not settings.retrain_at:
            return RetrainRules(after=settings.retrain_after)
        try:
            at = time.fromisoformat(settings.retrain_at)
        except ValueError as error:
            raise ConfigurationError(
                f"The hour to retrain at must be written as 02:30, got {settings.retrain_at[:32]!r}. Correct it."
            ) from error
        return RetrainRules(after=settings.retrain_after, at=at)

    def why(self, new: int, *, last: datetime | None, now: datetime) -> str | None:
        """Why to train now, in a few words for people; None: not now.

        Args:
            new: Images with a label that the last training did not learn from.
            last: When that was asked for.
            now: With the time zone in which `at` is meant, as `last` has one too.
        """
        if self.after and new >= self.after:
            return f"{new} new {_labels(new)}"
        if self.at is None or not new:
            return None
        tonight = datetime.combine(now.date(), self.at, tzinfo=now.tzinfo)
        begin = tonight if tonight <= now else tonight - timedelta(days=1)
        due = now < begin + _NIGHT and (last is None or last < begin)
        return f"{new} new {_labels(new)} since the last training, at {self.at:%H:%M}" if due else None


class Attendant:
    """Queues jobs by its rules, every few seconds in a thread of its own. Only one server of an installation has one.

    A training that failed is not tried again until as many new labels have come, and a scoring that failed not at all:
    what went wrong once would go wrong all night.

    Args:
        settings: Of this installation; `retrain_after` and `retrain_at` are its rules.
        jobs: Where jobs are queued.
        annotations: Labels.
        models: Which version is served.
    """

    def __init__(
        self, settings: Settings, *, jobs: JobRunner, annotations: AnnotationStore, models: ModelStore
    ) -> None:
        self._rules = RetrainRules.of(settings)
        self._jobs = jobs
        self._annotations = annotations
        self._models = models
        self._tasks = find_tasks()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="carina-attendant", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; jobs that it queued go on. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self, now: datetime | None = None) -> list[Job]:
        """Queue what is due.

        Args:
            now: With a time zone; the present moment by default.

        Returns:
            The jobs that were queued.
        """
        now = now or datetime.now().astimezone()
        return [*self._trainings(now), *self._scorings()]

    def _trainings(self, now: datetime) -> Iterable[Job]:
        if not self._rules.after and self._rules.at is None:
            return
        newest = {job.task: job for job in self._jobs.jobs(kind=TRAIN.name)}
        labels = self._annotations.for_training()
        for spec in self._tasks:
            last = newest.get(spec.name)
            if not spec.learns or (last is not None and last.active):
                continue
            new = self._unlearnt(spec, labels, last)
            why = self._rules.why(len(new), last=None if last is None else last.created, now=now)
            if why is not None:
                yield from self._queue(TRAIN.name, spec, self._start(spec), why)

    def _start(self, spec: TaskSpec) -> dict[str, object]:
        """Where a training starts: it tries both, once the last one did not lead to anything better than is served."""
        served, versions = self._models.served(spec.name), self._models.list(spec.name)
        if served is None or versions[-1].version == served.version:
            return {}
        decision = versions[-1].decision()
        return {} if decision is None or decision["promoted"] else {"start_from": AUTO}

    def _unlearnt(self, spec: TaskSpec, labels: Iterable[Annotation], last: Job | None) -> set[str]:
        """Images with a label of the task that its last training did not begin with."""
        of_task = [label for label in labels if label.task == spec.name]
        if last is None:
            return {label.image_id for label in of_task}
        plan = self._jobs.folder(last.id).plan() or {}
        learnt = set(plan.get("annotations", ()))
        return {label.image_id for label in of_task if label.created > last.created and label.id not in learnt}

    def _scorings(self) -> Iterable[Job]:
        """What was scored with a version that is not served any more is scored again, in the same way."""
        newest: dict[tuple[str, str, object], Job] = {}
        for kind in (SCORE.name, LOOK.name):
            newest |= {(kind, job.task, job.options.get("method")): job for job in self._jobs.jobs(kind=kind)}
        for (kind, task, _), job in newest.items():
            if job.state != "succeeded" or job.result is None or job.options.get("model_version"):
                continue
            served = self._models.served(task) if task in self._tasks else None
            if served is None or served.version == job.result.get("model_version"):
                continue
            named = isinstance(job.options.get("images"), list)
            kept = ("method", "device") if named else ("method", "device", "images")
            options = {name: value for name, value in job.options.items() if name in kept}
            yield from self._queue(kind, self._tasks.get(task), options, f"{served.version} is served now")

    def _queue(self, kind: str, spec: TaskSpec, options: dict[str, object], why: str) -> Iterable[Job]:
        try:
            job = self._jobs.start(kind, {"task": spec.name, "options": options}, user=BY_ITSELF, why=why)
        except BusyError:  # somebody was quicker
            return
        logger.info("Job %s (%s %s) starts by itself: %s.", job.id, kind, spec.name, why)
        yield job

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except (CarinaError, OSError) as error:  # database or disk
                logger.warning("Nothing can be started by itself at the moment: %s", error)
            except Exception:
                # Whatever it is, without this thread nothing would be trained again until the server is restarted.
                logger.exception("Nothing can be started by itself at the moment.")


def _labels(count: int) -> str:
    return "label" if count == 1 else "labels"
