"""The process of a training leaves its outcome in words, and learns from what annotators submitted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_label
from carina.errors import CancelledError, PacsError
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.jobs.folder import ImageAccess, JobFolder
from carina.jobs.runner import JobRunner, training_command
from carina.jobs.train import EXIT_CANCELLED, EXIT_FAILED, Cancellation, finite, run
from carina.models.store import ModelStore

AFFINE = np.array([[-1.5, 0.1, 0.0, 20.0], [0.1, 1.5, 0.0, -30.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]])
QUICK = {"max_epochs": 1, "steps_per_epoch": 2, "train_batch_size": 1, "patch_voxels": "16,16,16", "device": "cpu"}


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.prepare({"task": "thorax_ct"}, access=ImageAccess(store_url=str(tmp_path)))
    return made


def raising(error: BaseException):
    def work():
        raise error

    return work


def test_a_result_is_left_without_numbers_json_does_not_have(folder):
    assert run(folder, lambda: {"dice": float("nan"), "rows": [1.0, (float("inf"), None)]}) == 0
    assert folder.outcome().result == {"dice": None, "rows": [1.0, [None, None]]}


def test_an_error_of_ours_is_quoted(folder):
    assert run(folder, raising(PacsError("The PACS must answer, got status 500."))) == EXIT_FAILED
    assert (folder.outcome().state, folder.outcome().error) == ("failed", "The PACS must answer, got status 500.")


def test_an_unexpected_error_is_named_but_its_text_stays_in_the_log(folder, caplog):
    assert run(folder, raising(KeyError("PatientName^Secret"))) == EXIT_FAILED
    assert "KeyError" in folder.outcome().error
    assert "Secret" not in folder.outcome().error
    assert "Traceback" in caplog.text


def test_a_cancelled_training_says_so(folder):
    assert run(folder, raising(CancelledError("The training was cancelled."))) == EXIT_CANCELLED
    assert folder.outcome().state == "cancelled"


def test_cancellation_comes_by_flag(folder):
    cancelled = Cancellation(folder)
    assert not cancelled()
    folder.ask_to_cancel()
    assert Cancellation(folder)()


def test_cancellation_comes_by_sigterm(folder):
    before = signal.getsignal(signal.SIGTERM)
    try:
        cancelled = Cancellation(folder)
        cancelled.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancelled()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_finite_keeps_everything_else():
    assert finite({1: "a", "b": [True, None, 2]}) == {"1": "a", "b": [True, None, 2]}


def test_a_damaged_job_folder_is_an_error_in_words(tmp_path):
    (tmp_path / "job").mkdir()
    done = subprocess.run(training_command(tmp_path / "job"), check=False, capture_output=True, timeout=300)
    assert done.returncode == EXIT_FAILED
    assert "job.json" in json.loads((tmp_path / "job" / "error.json").read_text())["error"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four small oblique images, each with a bright block."""
    random = np.random.default_rng(7)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        array = random.normal(40, 20, (24, 22, 12)).astype(np.float32)
        array[6:14, 5:15, 3:9] += 300
        write_image(folder / f"case{number}.nii.gz", Volume(array, Grid(array.shape, AFFINE)))
    return folder


@pytest.mark.slow
def test_learns_from_submitted_labels_and_reports_a_version(settings, images):
    store = open_annotations(settings)
    label = np.zeros((24, 22, 12), np.uint8)
    label[6:14, 5:15, 3:9] = 9
    grid = Grid(label.shape, AFFINE)
    for number in range(4):
        submit_label(
            store,
            image_id=f"case{number}",
            image=grid,
            label=Volume(label, grid),
            client_names={"heart": 9},
            patient_id=f"patient{number}",
        )
    runner = JobRunner(settings, store_url=str(images))
    job = runner.wait(runner.start("train", {"task": "thorax_ct", "options": QUICK}).id, timeout_s=400)

    assert job.state == "succeeded", "\n".join(runner.log_tail(job.id))
    assert job.result["promoted"] is False  # two steps teach nothing, and the gate sees that
    assert [version.version for version in ModelStore(settings.models_dir).list("thorax_ct")] == [job.result["version"]]
    epochs = [event for event in runner.events(job.id)[0] if "epoch" in event]
    assert [event["epoch"] for event in epochs] == [1]
    assert epochs[0]["loss"] > 0
    assert sorted(store.splits.get("thorax_ct").values()) == ["holdout", "train", "train", "validation"]
    assert runner.folder(job.id).overlay.stat().st_size > 0
    runner.close()
    store.close()


def test_without_labels_it_fails_in_words(settings, images):
    runner = JobRunner(settings, store_url=str(images))
    job = runner.wait(runner.start("train", {"task": "thorax_ct", "options": QUICK}).id, timeout_s=400)
    assert job.state == "failed"
    assert "must have labelled images" in job.error
    runner.close()


@pytest.mark.slow
def test_a_real_training_stops_within_its_grace_time(settings, images):
    store = open_annotations(settings)
    grid = Grid((24, 22, 12), AFFINE)
    label = np.zeros(grid.shape, np.uint8)
    label[6:14, 5:15, 3:9] = 1
    submit_label(store, image_id="case0", image=grid, label=Volume(label, grid), client_names={"heart": 1})
    runner = JobRunner(settings, store_url=str(images), grace_s=30)
    job = runner.start("train", {"task": "thorax_ct", "options": {**QUICK, "max_epochs": 10_000, "device": "cpu"}})
    while not any("epoch" in event for event in runner.events(job.id)[0]) and runner.status(job.id).active:
        runner.wait(job.id, timeout_s=0.2)

    runner.cancel(job.id)
    job = runner.wait(job.id, timeout_s=60)

    assert job.state == "cancelled"
    assert runner.folder(job.id).outcome().state == "cancelled"  # by itself, not killed
    assert ModelStore(settings.models_dir).list("thorax_ct") == ()
    runner.close()
    store.close()
