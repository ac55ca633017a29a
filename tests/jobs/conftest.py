"""Runners whose jobs are small scripts, a fake at the command port; and jobs that are run in the test's process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from carina.annotations.store import AnnotationStore, open_annotations
from carina.datastores.port import open_store
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.jobs.events import Reporter
from carina.jobs.folder import JobFolder
from carina.jobs.kind import Work
from carina.jobs.runner import JobRunner
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks
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


AFFINE = np.array([[-3.0, 0.2, 0.0, 20.0], [0.2, 3.0, 0.0, -30.0], [0.0, 0.0, 4.0, 100.0], [0.0, 0.0, 0.0, 1.0]])
GRID = Grid((20, 18, 12), AFFINE)
SPEC = find_tasks().get("thorax_ct")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three small oblique images of noise."""
    random = np.random.default_rng(7)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        array = random.normal(40, 20, GRID.shape).astype(np.float32)
        write_image(folder / f"case{number}.nii.gz", Volume(array, GRID))
    return folder


def add_version(settings, seed: int, spec=SPEC, *, serve: bool = True, **fields) -> str:
    """Store, and serve, a version with random weights."""
    import torch

    torch.manual_seed(seed)
    models = ModelStore(settings.models_dir)
    state = build_network(spec).state_dict()
    version = models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices, **fields)
    if serve:
        models.promote(spec.name, version.version, reason="test")
    return version.version


@pytest.fixture
def annotations(settings) -> Iterator[AnnotationStore]:
    store = open_annotations(settings)
    yield store
    store.close()


@pytest.fixture
def job_of(settings, images, annotations, tmp_path):
    """For a kind's module: run its job in this process, a new one or another attempt of one by its name."""
    store = open_store(str(images), settings=settings)

    def make(kind, spec=SPEC, store=store):
        def run(job: str = "job", *, cancelled=lambda: False, **options):
            folder = JobFolder(tmp_path / job)
            folder.path.mkdir(exist_ok=True)
            kind.check(spec, options)
            work = Work(
                folder=folder,
                settings=settings,
                spec=spec,
                options=options,
                device="cpu",
                user="anna",
                annotations=annotations,
                images=store,
                reporter=Reporter(folder),
                cancelled=cancelled,
            )
            return kind.run(work)

        return run

    yield make
    store.close()
