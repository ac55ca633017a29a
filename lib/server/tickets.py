"""What passes between a route, the pool and a worker: a request, its result, and the state of it in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import CancelledError

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
State = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """One inference, as it crosses the process boundary.

    Attributes:
        request_id: Unique among the requests the pool remembers.
        task: Name of a registered task.
        image: Complete local file or DICOM folder.
        output: Where the result goes; its suffix decides the format (`.dcm` is a DICOM SEG).
        options: Checked request options.
        label: A label map that came along, such as painted strokes.
    """

    request_id: str
    task: str
    image: Path
    output: Path
    options: dict[str, Any] = field(default_factory=dict)
    label: Path | None = None


@dataclass(frozen=True, kw_only=True)
class InferenceResult:
    """What a worker answers: the result's file and the JSON that goes with it."""

    path: Path
    params: dict[str, Any]


Runner = Callable[[InferenceRequest, Progress, Cancelled], InferenceResult]
RunnerFactory = Callable[[], Runner]


@dataclass
class Ticket:
    """The state of one request, as its client may ask for it."""

    request: InferenceRequest
    future: Future[InferenceResult] = field(default_factory=Future)
    state: State = "queued"
    fraction: float = 0.0
    phase: str = "waiting for a worker"
    created: float = field(default_factory=time.time)
    cancel: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        """Keep a waiter that gives up from cancelling the future, which its worker is to complete all the same."""
        self.future.set_running_or_notify_cancel()

    def begin(self) -> bool:
        """Move from queued to running; False if the ticket was cancelled meanwhile."""
        with self._lock:
            if self.state != "queued":
                return False
            self.state, self.phase = "running", "starting"
            return True

    def finish(self, result: InferenceResult) -> None:
        """Hand out the result."""
        with self._lock:
            self.state, self.fraction, self.phase = "done", 1.0, "done"
        self.future.set_result(result)

    def fail(self, error: BaseException, *, only_queued: bool = False) -> None:
        """End with an error, unless it has ended already (or, on wish, unless it is running)."""
        with self._lock:
            if self.state != "queued" and (only_queued or self.state != "running"):
                return
            self.state = "cancelled" if isinstance(error, CancelledError) else "failed"
            self.phase = self.state
        self.future.set_exception(error)

    def describe(self) -> dict[str, Any]:
        """JSON for clients; holds no paths."""
        return {
            "request_id": self.request.request_id,
            "task": self.request.task,
            "state": self.state,
            "fraction": round(self.fraction, 4),
            "phase": self.phase,
            "age_s": round(time.time() - self.created, 1),
        }
