"""A training job learns from what annotators submitted, and outlives its process."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_label
from carina.datastores.port import open_store
from carina.errors import CancelledError, ConflictError
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.jobs.events import Reporter
from carina.jobs.folder import JobFolder
from carina.jobs.kind import Work
from carina.jobs.runner import JobRunner, job_command
from carina.jobs.train import KIND, start_from
from carina.jobs.work import finite
from carina.models.store import ModelStore
from carina.models.tracking import MlflowTracking
from carina.registry import find_tasks
from carina.settings import Settings

AFFINE = np.array([[-1.5, 0.1, 0.0, 20.0], [0.1, 1.5, 0.0, -30.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]])
QUICK = {"max_epochs": 1, "steps_per_epoch": 2, "train_batch_size": 1, "patch_voxels": "16,16,16", "device": "cpu"}


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
def test_learns_from_submitted_labels_and_reports_a_version(settings, images, labelled):
    runner = JobRunner(settings, store_url=str(images))
    job = runner.wait(runner.start("train", {"task": "thorax_ct", "options": QUICK}).id, timeout_s=400)

    assert job.state == "succeeded", "\n".join(runner.log_tail(job.id))
    assert job.result["promoted"] is (ModelStore(settings.models_dir).served("thorax_ct") is not None)
    assert [version.version for version in ModelStore(settings.models_dir).list("thorax_ct")] == [job.result["version"]]
    epochs = [event for event in runner.events(job.id)[0] if event["type"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1]
    assert epochs[0]["loss"] > 0
    assert sorted(labelled.splits.get("thorax_ct").values()) == ["holdout", "train", "train", "validation"]
    assert runner.folder(job.id).overlay.stat().st_size > 0
    runner.close()


def test_without_labels_it_fails_in_words(settings, images):
    runner = JobRunner(settings, store_url=str(images))
    job = runner.wait(runner.start("train", {"task": "thorax_ct", "options": QUICK}).id, timeout_s=400)
    assert job.state == "failed"
    assert "must have labelled images" in job.error
    runner.close()


@pytest.fixture
def labelled(settings, images):
    """Four patients whose bright block is labelled as the heart."""
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
    yield store
    store.close()


def steps_done(runner, job_id: str, *, attempt: int) -> int:
    """Steps of the training that an attempt has told of."""
    events = runner.events(job_id)[0]
    begun = [n for n, event in enumerate(events) if event.get("attempt") == attempt]
    told = [event for event in events[begun[0] :] if "step" in event] if begun else []
    return (told[-1]["epoch"] - 1) * told[-1]["steps"] + told[-1]["step"] if told else 0


@pytest.mark.slow
def test_killed_at_a_random_step_then_cancelled_then_resumed_a_training_ends_as_one_that_was_not(
    settings, images, labelled, tmp_path, runner_of, until
):
    """On one thread of a CPU the weights are the same bit by bit."""
    settings = dataclasses.replace(settings, checkpoint_every_s=0.001)
    options = {**QUICK, "max_epochs": 4, "steps_per_epoch": 25, "patience_epochs": 10}
    runner = runner_of("", command=job_command, settings=settings, store_url=str(images), grace_s=60)
    job = runner.start("train", {"task": "thorax_ct", "options": options})
    kill_at = secrets.randbelow(25)
    until(lambda: steps_done(runner, job.id, attempt=1) > kill_at)
    os.kill(runner.status(job.id).process.pid, signal.SIGKILL)
    until(lambda: steps_done(runner, job.id, attempt=2) > kill_at)

    runner.cancel(job.id)
    cancelled = runner.wait(job.id, timeout_s=120)
    assert (cancelled.state, cancelled.attempt) == ("cancelled", 2)
    assert runner.folder(job.id).outcome().cause == "cancel"  # by itself, not killed
    assert ModelStore(settings.models_dir).list("thorax_ct") == ()

    runner.resume(job.id)
    job = runner.wait(job.id, timeout_s=400)
    assert (job.state, job.attempt) == ("succeeded", 3), "\n".join(runner.log_tail(job.id))
    assert runner.folder(job.id).log.read_text().count("Training resumed in epoch") == 2
    numbers = [event["epoch"] for event in runner.events(job.id)[0] if event["type"] == "epoch"]
    assert sorted(set(numbers)) == [1, 2, 3, 4]

    whole = uninterrupted(Settings(home=tmp_path / "elsewhere"), options, images, labelled)
    versions = ModelStore(settings.models_dir), ModelStore(tmp_path / "elsewhere" / "models")
    shas = [
        store.get("thorax_ct", result["version"]).sha256
        for store, result in zip(versions, (job.result, whole), strict=True)
    ]
    assert shas[0] == shas[1]
    assert (job.result["metrics"], job.result["best_epoch"]) == (whole["metrics"], whole["best_epoch"])
    assert one_run(settings, "thorax_ct") == "FINISHED"


def uninterrupted(settings: Settings, options: dict, images: Path, annotations) -> dict:
    """The same training in this process, with models and folders of its own."""
    return finite(KIND.run(work_of(settings, options, images, annotations)))


def work_of(settings: Settings, options: dict, images: Path, annotations) -> Work:
    folder = JobFolder(settings.home / "job")
    folder.path.mkdir(parents=True)
    return Work(
        folder=folder,
        settings=settings,
        spec=find_tasks().get("thorax_ct"),
        options=options,
        device="cpu",
        user=None,
        annotations=annotations,
        images=open_store(str(images), settings=settings),
        reporter=Reporter(folder),
        cancelled=lambda: False,
    )


def one_run(settings: Settings, task: str) -> str:
    """The status of the one MLflow run that all attempts share."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=MlflowTracking(settings.tracking_dir).uri)
    experiment = client.get_experiment_by_name(task)
    (run,) = client.search_runs([experiment.experiment_id])
    return run.info.status


def test_a_resumed_training_that_misses_a_label_of_its_first_attempt_says_so(settings, images, labelled):
    work = work_of(settings, QUICK, images, labelled)
    work.folder.write_plan({"start_from": "nothing", "annotations": ["gone"]})
    with pytest.raises(ConflictError, match="began with, got 0"):
        KIND.run(work)


def test_a_served_version_of_another_form_of_the_task_is_not_started_from_and_the_log_says_so(
    settings, images, labelled, caplog
):
    work, models = work_of(settings, {}, images, labelled), ModelStore(settings.models_dir)
    version = models.add(work.spec.name, {"weight": torch.zeros(2)}, fingerprint="other", labels={"heart": 1})
    models.promote(work.spec.name, version.version, reason="test")
    assert start_from(work, models) == "nothing"
    assert "v1 of 'thorax_ct' was made for another form of the task" in caplog.text


def test_a_training_may_learn_from_the_images_that_nobody_labelled(settings, images, labelled, monkeypatch):
    """Its plan names them, so that drafts made meanwhile do not turn a resumed job into another training."""
    seen = []

    def train(cases, *, options, pool, **_given):
        seen.append((options.unlabelled_weight, [case.image_id for case in pool]))
        raise CancelledError("That is all.")

    monkeypatch.setattr("carina.trainers.training.train", train)
    shutil.copy(images / "case0.nii.gz", images / "fresh.nii.gz")
    for options in ({"unlabelled_weight": 0.5}, {}):
        home = dataclasses.replace(settings, home=settings.home / str(len(seen)))
        work = dataclasses.replace(work_of(home, options, images, labelled), settings=settings)
        with pytest.raises(CancelledError):
            KIND.run(work)
        assert work.folder.plan()["unlabelled"] == seen[-1][1]
    assert seen == [(0.5, ["fresh"]), (0.0, [])]


def test_a_training_starts_from_what_is_served_when_it_is_asked_for_or_as_it_is_told(settings, images, labelled):
    work, models = work_of(settings, {}, images, labelled), ModelStore(settings.models_dir)
    assert start_from(work, models) == "nothing"
    both = dataclasses.replace(work, options={"start_from": "auto"})
    assert start_from(both, models) == "auto:nothing"
    spec = work.spec
    version = models.add(
        spec.name, {"weight": torch.zeros(2)}, fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    models.promote(spec.name, version.version, reason="test")
    assert start_from(work, models) == version.version
    assert start_from(both, models) == f"auto:{version.version}"
    assert start_from(dataclasses.replace(work, options={"pretrained": False}), models) == "nothing"
    assert start_from(dataclasses.replace(work, options={"start_from": "v9"}), models) == "v9"
