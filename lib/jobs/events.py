"""How a job's process tells the server what it does: lines in the events file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.tracking import Tracking, TrainingRun
from .folder import JobFolder

_EVERY_S = 0.5
# What trainings call their values -> what viewers look for.
_RENAMED = {"validation_dice": "dice"}


class Reporter:
    """Writes events; repeated progress at most twice a second.

    Args:
        folder: Of the job.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._written_at = -math.inf
        self._fraction = 0.0

    def progress(self, fraction: float, text: str) -> None:
        """Report how far the job is; the share never falls.

        Args:
            fraction: 0–1.
            text: What it is doing.
        """
        self._fraction = max(self._fraction, min(1.0, fraction))
        if fraction >= 1.0 or time.monotonic() - self._written_at >= _EVERY_S:
            self._written_at = time.monotonic()
            self._folder.append_event({"fraction": round(self._fraction, 4), "message": text})

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Report what an epoch gave: `epoch`, `loss`, mean `dice`, and `labels` with the Dice of each."""
        measured = {name: value for name, value in values.items() if math.isfinite(value)}
        plain = {_RENAMED.get(name, name): value for name, value in measured.items() if "/" not in name}
        labels = {name.partition("/")[2]: value for name, value in measured.items() if "/" in name}
        self._folder.append_event({"epoch": epoch, "fraction": round(self._fraction, 4), **plain, "labels": labels})


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
