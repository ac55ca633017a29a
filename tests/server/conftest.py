"""A server without torch: a folder of small oblique NIfTI images, and a runner that thresholds."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
import uvicorn

from carina.annotations.store import AnnotationStore, open_annotations
from carina.datastores.port import ImageStore, open_store
from carina.errors import CarinaError, NoModelError
from carina.geometry import Grid, Volume
from carina.images import read_volume, write_label
from carina.jobs.runner import JobRunner
from carina.phantoms.dicom import write_series
from carina.server.app import create_app
from carina.server.services import Services, build_services
from carina.server.tickets import InferenceResult
from carina.server.workers import InferencePool
from carina.settings import Settings

SHAPE = (12, 10, 8)


def oblique_affine() -> np.ndarray:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.5, 2.0, 3.0])
    affine[:3, 3] = (10.0, -20.0, 30.0)
    return affine


def threshold_runner(request, progress, cancelled):
    """Labels everything above 0 as 1; the option `labels` of a request says what else to do."""
    if request.options.get("labels") == ["refuse"]:
        raise NoModelError("Task must have a model, got none.")
    progress(0.5, "half way")
    image = read_volume(request.image)
    write_label(request.output, Volume((image.array > 0).astype(np.uint8), image.grid))
    return InferenceResult(path=request.output, params={"model_version": "v7", "model_sha256": "ab" * 32})


class InlinePool(InferencePool):
    """The pool without processes: a request is done when `submit` returns."""

    def start(self) -> None:
        pass

    def submit(self, request):
        ticket = super().submit(request)
        ticket.begin()
        try:
            ticket.finish(threshold_runner(request, lambda fraction, phrase: None, ticket.cancel.is_set))
        except CarinaError as error:
            ticket.fail(error)
        return ticket


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", upload_limit_mib=1, unpacked_limit_mib=4)


@pytest.fixture
def nothing_is_left(settings: Settings) -> Callable[[], None]:
    """Fails if a request's files stay; they go behind the last byte of its answer, which a client may have before."""

    def check() -> None:
        deadline = time.monotonic() + 120
        while left := list((settings.home / "tmp").iterdir()):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)

    return check


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("case-a", "case-b"):
        array = generator.normal(0, 300, SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(array, oblique_affine()), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def annotations(settings: Settings) -> Iterator[AnnotationStore]:
    opened = open_annotations(settings)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path, settings: Settings) -> Iterator[ImageStore]:
    """A folder store in `pacs` that holds one DICOM series."""
    affine = np.diag([-1.1, -0.9, 2.5, 1.0])
    array = np.random.default_rng(1).integers(-900, 900, (9, 7, 6)).astype(np.int16)
    write_series(Volume(array, Grid(array.shape, affine)), tmp_path / "pacs" / "one", patient_id="P1")
    opened = open_store(tmp_path / "pacs", settings=settings)
    yield opened
    opened.close()


@pytest.fixture
def runs_script(services: Services, settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], Services]]:
    """Makes services whose jobs run the given Python code; ends all of them afterwards."""
    runners: list[JobRunner] = []

    def make(code: str) -> Services:
        script = tmp_path / "job.py"
        script.write_text(code)
        services.jobs.close()
        runners.append(
            JobRunner(settings, command=lambda folder: [sys.executable, str(script), str(folder)], grace_s=5)
        )
        return replace(services, jobs=runners[-1])

    yield make
    for runner in runners:
        for job in runner.running():
            process = job.process or runner.folder(job.id).process()
            if process is not None:
                process.kill_session()
        runner.close()


@pytest.fixture
def services(settings: Settings, images: Path) -> Iterator[Services]:
    built = build_services(settings, str(images))
    replaced = replace(built, pool=InlinePool(lambda: threshold_runner, limit=4))
    yield replaced
    replaced.close()


@pytest.fixture
def http(services: Services) -> Iterator[httpx.Client]:
    """A client of the application behind a real uvicorn; it follows no redirects, like the stock client."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield client
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def label_file(tmp_path: Path) -> Path:
    """A label of `case-a` with its axes flipped: 24 voxels of 5 and 3 of 9."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 3:5, 1:5] = 5
    array[8, 8, 4:7] = 9
    image = nib.Nifti1Image(array, oblique_affine())
    flipped = image.as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))
    path = tmp_path / "label.nii.gz"
    nib.save(flipped, path)
    return path


@pytest.fixture
def save_label(http: httpx.Client, label_file: Path):
    def save(image: str = "case-a", *, tag: str = "final", params=None, path: Path = label_file):
        info = [{"name": "heart", "idx": 5}, {"name": "trachea", "idx": 9}]
        body = {"label_info": info} if params is None else params
        with path.open("rb") as file:
            return http.put(
                "/datastore/label",
                params={"image": image, "tag": tag},
                data={"params": json.dumps(body)},
                files={"label": (path.name, file)},
            )

    return save


@pytest.fixture
def image_grid() -> Grid:
    return Grid(SHAPE, oblique_affine())
