"""Runs of a simulation in several processes, each with one thread of its own: runs do not wait for each other."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CancelledError
from ..registry import find_tasks
from ..task import TaskSpec
from .plan import FULL, Plan, keep

if TYPE_CHECKING:
    from ..trainers.cases import Case

Progress = Callable[[float, str], None]

_PREPARED_AT = 0.02
_LOOK_S = 1.0
_stop: Event | None = None


def simulate(
    plan: Plan,
    folder: Path,
    *,
    processes: int = 1,
    progress: Progress = lambda fraction, text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Do every round that is not on disk yet.

    Args:
        plan: What is simulated.
        folder: Where rounds, prepared images and the plan are.
        processes: How many work at once; 1 is this one, with all its threads.
        progress: Told the share of rounds done.
        cancelled: Asked about once a second.

    Raises:
        CancelledError: If `cancelled` answered true; what was finished counts the next time.
        ConflictError: If the folder holds another simulation.
        InvalidInputError: If images or labels do not fit.
    """
    from .rounds import Journal, Run

    keep(plan, folder)
    spec, cases = _prepared(plan, folder, progress, cancelled)
    pool = len({case.image_id for case in cases})
    rounds = plan.rounds_of(pool)  # a few less in truth, for test images are no part of the pool
    total = sum(1 if strategy == FULL else rounds for strategy, _ in plan.runs)

    def tell() -> None:
        done = sum(len(Journal(folder, *run).read()) for run in plan.runs)
        progress(min(1.0, _PREPARED_AT + (1 - _PREPARED_AT) * done / total), f"{spec.name}: {done} rounds done")

    if processes == 1:
        for name, seed in plan.runs:
            Run(plan=plan, spec=spec, cases=cases, folder=folder, cancelled=cancelled).run(name, seed)
            tell()
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(stop,))
    try:
        waiting: set[Future[None]] = {executor.submit(_one, plan, folder, *run) for run in plan.runs}
        while waiting:
            finished, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            if cancelled():
                raise CancelledError("The simulation was cancelled.")
            tell()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _prepared(
    plan: Plan, folder: Path, progress: Progress, cancelled: Callable[[], bool]
) -> tuple[TaskSpec, list[Case]]:
    """The task and its cases, with every image prepared, so that no process does it again."""
    from ..trainers.cache import VolumeCache

    spec, cases = _read(plan)
    cache = VolumeCache(folder / "volumes", spec)
    for position, case in enumerate(cases):
        if cancelled():
            raise CancelledError("The simulation was cancelled.")
        cache.get(case)
        progress(_PREPARED_AT * (position + 1) / len(cases), f"prepared {position + 1} of {len(cases)} images")
    return spec, cases


def _read(plan: Plan) -> tuple[TaskSpec, list[Case]]:
    from ..trainers.dataset import read_case_folder

    spec = plan.task_spec(find_tasks().get(plan.task))
    return spec, read_case_folder(Path(plan.images), Path(plan.labels), spec)


def _begin(stop: Event) -> None:
    """In each process: Ctrl-C is the parent's to hear, and one thread is enough."""
    import torch

    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _one(plan: Plan, folder: Path, strategy: str, seed: int) -> None:
    from .rounds import Run

    stop = _stop
    asked = stop.is_set if stop is not None else partial(bool, False)
    if asked():
        return
    spec, cases = _read(plan)
    try:
        Run(plan=plan, spec=spec, cases=cases, folder=folder, cancelled=asked).run(strategy, seed)
    except CancelledError:
        return
