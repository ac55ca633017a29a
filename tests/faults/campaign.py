"""Many randomised runs of submit → deliver with faults in between, each followed by recovery and a full count."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from .checking import Checker
from .faults import Injection, plan
from .labels import Attempt, make_label, submit
from .world import World, running_world

CLIENTS = 2
LABELS_PER_CLIENT = 3
IMAGES = 3
_DELIVERED_WITHIN_S = 90.0
_KNOWN_REFUSALS = frozenset({502, 504, 507})


@dataclass
class Tally:
    """What a campaign counted; the figures under `wrong` must all be zero.

    Attributes:
        runs: Runs made.
        submits: Labels sent.
        outcomes: How clients were answered.
        statuses: HTTP statuses of refusals.
        faults: Faults by kind.
        moments: Faults by what they waited for.
        stored_unacknowledged: Labels stored although the client heard nothing, or an error.
        wrong: `lost`, `duplicated`, `differing`, `stray`, `half`, `undelivered`, `unexplained`, `left over`.
    """

    runs: int = 0
    submits: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    stored_unacknowledged: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    disk_full_possible: bool = True
    duration_s: float = 0.0

    @property
    def right(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.wrong.values())

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


def run_campaign(
    folder: Path, *, runs: int, seed: int, report: Callable[[int, Tally], None] = lambda done, tally: None
) -> Tally:
    """Make `runs` runs in one world.

    Args:
        folder: Empty; for homes, the PACS's data and logs.
        runs: How many.
        seed: The plan of run `n` follows from seed and `n`; which thread comes first does not.
        report: Told after each run.
    """
    started = time.monotonic()
    with running_world(folder, images=IMAGES) as world:
        tally = Tally(disk_full_possible=world.disk_is_small)
        checker = Checker(world, tally.wrong, tally.notes)
        for number in range(runs):
            _run(world, checker, tally, number, seed=seed)
            tally.duration_s = time.monotonic() - started
            report(number + 1, tally)
        checker.check_everything_again()
        tally.wrong["left over"] += world.left_over()
    return tally


def _run(world: World, checker: Checker, tally: Tally, number: int, *, seed: int) -> None:
    generator = np.random.default_rng([seed, number])
    faults = plan(generator, disk_is_small=world.disk_is_small)
    pacs_last = bool(generator.random() < 0.3)
    attempts = [
        [make_label(world.images[generator.integers(IMAGES)], generator) for _ in range(LABELS_PER_CLIENT)]
        for _ in range(CLIENTS)
    ]
    pauses = generator.uniform(0.0, 0.3, (CLIENTS, LABELS_PER_CLIENT))
    injection = Injection(world, faults)
    clients = [
        threading.Thread(target=_client, args=(world, injection, labels, waits))
        for labels, waits in zip(attempts, pauses, strict=True)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    injection.end()
    _recover(world, pacs_last=pacs_last)
    sent = [attempt for labels in attempts for attempt in labels]
    delivered = _wait_for_deliveries(world)
    _count(tally, number, sent, faults, delivered=delivered)
    tally.stored_unacknowledged += checker.check(number, sent)


def _client(world: World, injection: Injection, labels: list[Attempt], pauses: np.ndarray) -> None:
    for attempt, pause_s in zip(labels, pauses, strict=True):
        time.sleep(pause_s)
        injection.sending()
        submit(world, attempt)
        if attempt.outcome == "acknowledged":
            injection.acknowledged()


def _recover(world: World, *, pacs_last: bool) -> None:
    """Bring back what is dead, in either order: a server must start without its PACS too."""
    steps = [world.start_pacs, world.start_server]
    for step in reversed(steps) if pacs_last else steps:
        step()


def _wait_for_deliveries(world: World) -> dict[str, Any]:
    requests.post(f"{world.url}/carina/deliveries/retry", timeout=60).raise_for_status()
    deadline = time.monotonic() + _DELIVERED_WITHIN_S
    while True:
        answer = requests.get(f"{world.url}/carina/deliveries", timeout=60)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        if state["pending"] == 0 or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


def _count(tally: Tally, number: int, sent: list[Attempt], faults: list[Any], *, delivered: dict[str, Any]) -> None:
    tally.runs += 1
    tally.submits += len(sent)
    tally.outcomes.update(attempt.outcome for attempt in sent)
    tally.faults.update(fault.kind for fault in faults)
    tally.moments.update(fault.moment for fault in faults)
    refused = [attempt for attempt in sent if attempt.outcome == "refused"]
    tally.statuses.update(attempt.status for attempt in refused)
    for attempt in refused:
        if attempt.status not in _KNOWN_REFUSALS:
            tally.wrong["unexplained"] += 1
            tally.notes.append(f"run {number}: answer {attempt.status}: {attempt.answer[:300]}")
    waiting = delivered["pending"] + delivered["failed"]
    if waiting:
        tally.wrong["undelivered"] += waiting
        tally.notes.append(f"run {number}: {waiting} not delivered: {delivered['last_error']}")
