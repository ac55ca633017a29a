"""Processes that outlive the server that started them: recognised by pid and start time, ended as a whole session."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import psutil

# The kernel counts start times from boot, and the time of boot is corrected with the clock.
_CLOCK_TOLERANCE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class ProcessMark:
    """A process, told apart from a later one with the same number.

    Attributes:
        pid: Its number; also that of the session it leads.
        started: Seconds since 1970.
    """

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether this very process still works; one that waits to be reaped does not."""
        return self._find() is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM, if it is still there."""
        found = self._find()
        if found is not None:
            found.terminate()

    def kill_session(self) -> None:
        """Send SIGKILL to the process and to all that it started."""
        try:
            recycled = self._find() is None and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            recycled = False
        if recycled:
            return
        for member in psutil.process_iter():
            try:
                if os.getsid(member.pid) == self.pid:
                    os.kill(member.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue

    def _find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _CLOCK_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None


def mark_of(pid: int) -> ProcessMark:
    """The mark of a process that is there, be it only to be reaped."""
    return ProcessMark(pid=pid, started=psutil.Process(pid).create_time())
