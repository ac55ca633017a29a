"""How a job's process tells the server what it does: lines in the events file, each of a `type`.

progress    how far it is: fraction, message, eta_s, memory_mib; of a training also epoch, step, steps, loss, device
epoch       what an epoch gave: epoch, loss, dice, labels
image       what became of one image of a batch
state       written by the server: an attempt began or ended
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ..models.tracking import Tracking, TrainingRun
from .folder import JobFolder

if TYPE_CHECKING:
    from ..trainers.standing import Step

_EVERY_S = 0.5
_PACE_OVER_S = 120.0
# What trainings put before the name of what they measured on the validation cases.
_MEASURED = "validation_"


class Pace:
    """How long the rest will take if it goes on as in the last two minutes.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def remaining_s(self, fraction: float) -> float | None:
        """Seconds until 1; None while nothing is known.

        Args:
            fraction: How far it is now, 0–1.
        """
        now = self._clock()
        self._seen.append((now, fraction))
        while len(self._seen) > 2 and now - self._seen[1][0] > _PACE_OVER_S:
            self._seen.popleft()
        since, before = self._seen[0]
        if fraction <= before or now <= since:
            return None
        return (1.0 - fraction) * (now - since) / (fraction - before)


class Reporter:
    """Writes events; repeated progress at most twice a second.

    Args:
        folder: Of the job.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._written_at = -math.inf
        self._fraction = 0.0
        self._details: dict[str, Any] = {}
        self._pace = Pace()
        self._process = psutil.Process()

    def progress(self, fraction: float, text: str) -> None:
        """Report how far the job is; the share never falls.

        Args:
            fraction: 0–1.
            text: What it is doing.
        """
        self._fraction = max(self._fraction, min(1.0, fraction))
        if fraction < 1.0 and time.monotonic() - self._written_at < _EVERY_S:
            return
        self._written_at = time.monotonic()
        eta_s = self._pace.remaining_s(self._fraction)
        event: dict[str, Any] = {
            "type": "progress",
            "fraction": round(self._fraction, 4),
            "message": text,
            "eta_s": None if eta_s is None else round(eta_s, 1),
            "memory_mib": round(self._process.memory_info().rss / 2**20),
            **self._details,
        }
        self._folder.append_event(event)
        self._details = {}

    def step(self, step: Step) -> None:
        """Say which step the next progress is about."""
        self._details = {
            "epoch": step.epoch,
            "step": step.step,
            "steps": step.steps,
            "loss": step.loss if math.isfinite(step.loss) else None,
            "device": step.device,
        }
        if step.device_memory_mib is not None:
            self._details["device_memory_mib"] = round(step.device_memory_mib)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Report what an epoch gave: `epoch`, `loss`, a mean of `QUALITIES`, and `labels` with that of each."""
        measured = {name: value for name, value in values.items() if math.isfinite(value)}
        plain = {name.removeprefix(_MEASURED): value for name, value in measured.items() if "/" not in name}
        labels = {name.partition("/")[2]: value for name, value in measured.items() if "/" in name}
        self._folder.append_event(
            {"type": "epoch", "epoch": epoch, "fraction": round(self._fraction, 4), **plain, "labels": labels}
        )

    def image(self, image_id: str, **outcome: Any) -> None:
        """Report what became of one image of many."""
        self._folder.append_event({"type": "image", "image": image_id, **outcome})


class EventTracking:
    """Tracking that reports epochs as events too.

    Args:
        inner: Where everything else goes.
        reporter: Where events go.
    """

    def __init__(self, inner: Tracking, reporter: Reporter) -> None:
        self._inner = inner
        self._reporter = reporter

    def start(self, task: str, *, name: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """Begin a run."""
        return _ReportedRun(self._inner.start(task, name=name, parameters=parameters), self._reporter)


class _ReportedRun:
    def __init__(self, inner: TrainingRun, reporter: Reporter) -> None:
        self._inner = inner
        self._reporter = reporter

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._reporter.epoch(epoch, values)
        self._inner.log_epoch(epoch, values)

    def log_json(self, name: str, content: Any) -> None:
        self._inner.log_json(name, content)

    def log_picture(self, path: Path) -> None:
        self._inner.log_picture(path)

    def finish(self, *, status: str, tags: Mapping[str, str]) -> None:
        self._inner.finish(status=status, tags=tags)
