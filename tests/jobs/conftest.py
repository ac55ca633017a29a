"""Runners whose jobs are small scripts instead of trainings: a fake at the command port."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carina.jobs.runner import JobRunner
from carina.settings import Settings

REQUEST = {"task": "thorax_ct", "options": {"max_epochs": 2}}

_PROLOGUE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from carina.jobs.folder import JobFolder
from carina.jobs.process import mark_of
folder = JobFolder(Path(sys.argv[1]))
folder.write_process(mark_of(os.getpid()))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def runner_of(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., JobRunner]]:
    """Makes a runner whose jobs run the given Python code; ends all of them afterwards."""
    opened: list[JobRunner] = []

    def make(code: str, **more) -> JobRunner:
        script = tmp_path / f"job{len(opened)}.py"
        script.write_text(_PROLOGUE + code)
        command = more.pop("command", lambda folder: [sys.executable, str(script), str(folder)])
        runner = JobRunner(more.pop("settings", settings), command=command, **more)
        opened.append(runner)
        return runner

    yield make
    for runner in opened:
        runner.close()
        for job in runner.running():
            process = job.process or runner.folder(job.id).process()
            if process is not None:
                process.kill_session()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for a condition; fails when it does not come."""

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.02)

    return wait
