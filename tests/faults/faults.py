"""What can go wrong and when: a plan of faults drawn from a seed, and the injection of one plan into a world."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .world import World

Kind = Literal[
    "server killed",
    "outbox killed",
    "PACS killed",
    "PACS stopped",
    "PACS answers 500",
    "PACS hangs",
    "PACS answer cut",
    "PACS stores, no answer",
    "PACS refuses",
    "disk full",
]
Moment = Literal[
    "by the clock", "submit under way", "label acknowledged", "presence asked", "upload begins", "upload stored"
]

KINDS: tuple[Kind, ...] = get_args(Kind)
MOMENTS: tuple[Moment, ...] = get_args(Moment)
# Where carina itself could lose something counts for more than another way in which a PACS is away.
_WEIGHTS: dict[Kind, float] = {"server killed": 2.5, "outbox killed": 1.5, "disk full": 2.5}
_PROXY_FAULTS: dict[Kind, str] = {
    "PACS answers 500": "error",
    "PACS hangs": "hang",
    "PACS answer cut": "cut",
    "PACS stores, no answer": "drop",
    "PACS refuses": "refuse",
}
_UPLOAD, _LOOKUP = "POST /instances", "POST /tools/lookup"
_LATEST_S = 1.2


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a run.

    Attributes:
        kind: What.
        moment: What it waits for.
        count: For which occurrence of the moment.
        delay_s: After the run's start for `by the clock`, after the request was sent for `submit under way`.
        share: Of the requests that a failing PACS fails.
        leave_kib: Room that a full disk still has.
        seed: Decides which requests fail.
    """

    kind: Kind
    moment: Moment
    count: int
    delay_s: float
    share: float
    leave_kib: int
    seed: int


def plan(generator: np.random.Generator, *, disk_is_small: bool) -> list[Fault]:
    """One to three faults of different kinds, and when each happens."""
    kinds = [kind for kind in KINDS if disk_is_small or kind != "disk full"]
    weights = np.array([_WEIGHTS.get(kind, 1.0) for kind in kinds])
    size = generator.choice([1, 2, 3], p=[0.5, 0.35, 0.15])
    chosen = generator.choice(len(kinds), size=size, replace=False, p=weights / weights.sum())
    return [_fault(kinds[index], generator) for index in chosen]


def _fault(kind: Kind, generator: np.random.Generator) -> Fault:
    moment = MOMENTS[generator.integers(len(MOMENTS))]
    return Fault(
        kind=kind,
        moment=moment,
        count=int(generator.integers(1, 4)),
        delay_s=float(generator.uniform(0.0, 0.1 if moment == "submit under way" else 0.8)),
        share=float(generator.choice([0.5, 1.0])),
        leave_kib=int(generator.choice([0, 4, 16, 64, 256])),
        seed=int(generator.integers(2**31)),
    )


class Injection:
    """Lets a plan's faults happen; `end` waits for the last and lifts what lasts.

    Args:
        world: Where.
        faults: The plan.
    """

    def __init__(self, world: World, faults: list[Fault]) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._counts: dict[Moment, int] = dict.fromkeys(MOMENTS, 0)
        self._waiting = list(faults)
        self._disturbances: list[Callable[[], str | None]] = []
        world.proxy.disturb = self._before
        world.proxy.forwarded = self._after
        self._timers: list[threading.Timer] = []
        for fault in faults:
            delay_s = fault.delay_s if fault.moment == "by the clock" else _LATEST_S
            self._start(threading.Timer(delay_s, self._fire, [fault]))

    def sending(self) -> None:
        """Say that a client is about to send a label."""
        self._reach("submit under way")

    def acknowledged(self) -> None:
        """Say that a client has its answer."""
        self._reach("label acknowledged")

    def end(self) -> None:
        """Wait until every fault has happened, then let the PACS answer again and free the disk."""
        for timer in self._timers:
            timer.join()
        self._world.proxy.disturb = lambda request: None
        self._world.proxy.forwarded = lambda request: None
        self._world.free_disk()

    def _start(self, timer: threading.Timer) -> None:
        self._timers.append(timer)
        timer.start()

    def _before(self, request: str) -> str | None:
        if request == _UPLOAD:
            self._reach("upload begins")
        if request == _LOOKUP:
            self._reach("presence asked")
        answers = [disturb() for disturb in self._disturbances]
        return next((answer for answer in answers if answer is not None), None)

    def _after(self, request: str) -> None:
        if request == _UPLOAD:
            self._reach("upload stored")

    def _reach(self, moment: Moment) -> None:
        with self._lock:
            self._counts[moment] += 1
            due = [
                fault
                for fault in self._waiting
                if fault.moment == moment != "by the clock" and self._counts[moment] >= fault.count
            ]
        for fault in due:
            if moment == "submit under way":
                self._start(threading.Timer(fault.delay_s, self._fire, [fault]))
            else:
                self._fire(fault)

    def _fire(self, fault: Fault) -> None:
        with self._lock:
            if fault not in self._waiting:
                return
            self._waiting.remove(fault)
        if fault.kind in _PROXY_FAULTS:
            self._disturbances.append(_sometimes(_PROXY_FAULTS[fault.kind], fault))
        elif fault.kind == "disk full":
            self._world.fill_disk(leave_kib=fault.leave_kib)
        else:
            {
                "server killed": self._world.kill_server,
                "outbox killed": self._world.kill_outbox,
                "PACS killed": self._world.kill_pacs,
                "PACS stopped": self._world.stop_pacs,
            }[fault.kind]()


def _sometimes(answer: str, fault: Fault) -> Callable[[], str | None]:
    generator = np.random.default_rng(fault.seed)
    return lambda: answer if generator.random() < fault.share else None
