"""A lane of their own for requests that read whole images: however many of them come, a save finds room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
# Reading DICOM headers is Python: two threads of it take no less time than one, and slow down every other one.
_WIDTH = 1


class SlowLane:
    """Runs blocking work in threads, a few at a time, in the order of its arrival; those that wait hold no thread."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_WIDTH)

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for a place, then for the work; its error is raised here."""
        return await to_thread.run_sync(work, limiter=self._limiter)
