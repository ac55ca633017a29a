"""The states of a job, the ways between them, and what follows when a process ends: tables, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        "queued": frozenset({"running", "cancelled"}),
        "running": frozenset({"succeeded", "failed", "cancelled", "interrupted"}),
        "succeeded": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset({"queued"}),
        "interrupted": frozenset({"queued"}),
    }
)
ACTIVE: tuple[JobState, ...] = ("queued", "running")

Cause = Literal["result", "error", "silence", "cancel", "stop", "signal", "loss", "start"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What follows from one way to end.

    Attributes:
        state: The job's state.
        retries: How often in a row the job is resumed by itself; None: always.
        sentence: For people; may name `{status}` or `{signal}`.
    """

    state: JobState
    retries: int | None = 0
    sentence: str = ""


# A job that reports an error would report it again. Memory is no exception: a training has gone on with half its batch
# once before it says so (`trainers.fitting`), an inference has tried every rung (`infers.sliding_window`).
RULES: Mapping[Cause, Rule] = MappingProxyType(
    {
        "result": Rule(state="succeeded"),
        "error": Rule(state="failed"),
        "silence": Rule(
            state="failed",
            sentence="The process ended with exit status {status} and without a result. See the job's log.",
        ),
        "cancel": Rule(state="cancelled", sentence="Cancelled on request."),
        "stop": Rule(
            state="interrupted", retries=None, sentence="The system asked the process to end; it left a checkpoint."
        ),
        "signal": Rule(
            state="interrupted",
            retries=2,
            sentence="The process was ended by {signal} before it had a result. If that was SIGKILL, memory may have "
            "run out.",
        ),
        "loss": Rule(
            state="interrupted", retries=2, sentence="The process ended while no server watched, without a result."
        ),
        # Not resumed: should its process appear after all, there would be two.
        "start": Rule(state="interrupted", sentence="The server ended while it started this job. Resume it."),
    }
)
