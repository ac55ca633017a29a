"""A server that was killed and started again knows the training that went on, and so does the stock client."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import torch

from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_label
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.server.running import RunningServer
from carina.settings import Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    # The stock client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

TASK = "thorax_ct"
GRID = Grid((24, 22, 12), np.array([[-1.5, 0.1, 0, 20], [0.1, 1.5, 0, -30], [0, 0, 3, 100], [0, 0, 0, 1.0]]))
ENDLESS = {
    "max_epochs": 10_000, "steps_per_epoch": 5, "train_batch_size": 1, "patch_voxels": "16,16,16", "device": "cpu",
    "early_stop_patience": -1,
}  # fmt: skip


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(7)
    for number in range(3):
        array = random.normal(40, 20, GRID.shape).astype(np.float32)
        array[6:14, 5:15, 3:9] += 300
        write_image(folder / f"case{number}.nii.gz", Volume(array, GRID))
    return folder


@pytest.fixture
def settings(tmp_path: Path, images) -> Settings:
    """One labelled image, and a model with random weights."""
    settings = Settings(home=tmp_path / "home", port=0)
    store = open_annotations(settings)
    label = np.zeros(GRID.shape, np.uint8)
    label[6:14, 5:15, 3:9] = 9
    submit_label(
        store, image_id="case0", image=GRID, label=Volume(label, GRID), client_names={"heart": 9},
        spec=find_tasks().get(TASK),
    )  # fmt: skip
    store.close()
    spec = find_tasks().get(TASK)
    torch.manual_seed(0)
    models = ModelStore(settings.models_dir)
    state = build_network(spec).state_dict()
    version = models.add(TASK, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    models.promote(TASK, version.version, reason="test")
    return settings


def client_of(server):
    from monailabel.client import MONAILabelClient

    return MONAILabelClient(server.url, client_id="jobs-test")


def batch(server, method: str, address: str, body: dict | None = None) -> tuple[int, dict]:
    """The stock client has no call for batches, but it has what its calls are made of."""
    from monailabel.client.client import MONAILabelUtils

    status, content, _, _ = MONAILabelUtils.http_method(method, server.url, f"/batch/infer{address}", body)
    return status, json.loads(content)


def job_of(server, job_id: str) -> dict:
    return httpx.get(f"{server.url}/carina/jobs/{job_id}", trust_env=False, timeout=60).json()


def test_a_restarted_server_lists_the_running_job_and_its_progress(settings, images):
    first = RunningServer(settings, store_url=str(images)).start()
    started = client_of(first).train_start(TASK, dict(ENDLESS))
    while "epoch 2" not in job_of(first, started["id"])["message"]:
        assert job_of(first, started["id"])["state"] in ("queued", "running")
        time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)
    first.stop()

    with RunningServer(settings, store_url=str(images)) as second:
        client = client_of(second)
        assert client.train_status(check_if_running=True)
        found = client.train_status()
        assert (found["id"], found["status"], found["attempt"]) == (started["id"], "RUNNING", 1)
        stats = client.info()["train_stats"][TASK]
        assert stats["epoch"] >= 1
        while job_of(second, started["id"])["message"] == found["message"]:  # it still tells how far it is
            time.sleep(0.1)
        client.train_stop()
        while client.train_status(check_if_running=True):
            time.sleep(0.1)
        ended = client.train_status()
        assert (ended["id"], ended["status"], ended["state"]) == (started["id"], "STOPPED", "cancelled")
        assert (settings.jobs_dir / started["id"] / "checkpoint.safetensors").is_file()

        status, started = batch(second, "POST", f"/{TASK}?images=unlabeled", {"device": "cuda", "max_batch_size": 0})
        assert (status, started["request"]["images"]) == (200, "unlabelled")
        while batch(second, "GET", "?check_if_running=true")[0] == 200:
            time.sleep(0.2)
        _, ended = batch(second, "GET", "")
        assert (ended["status"], ended["result"]["drafted"], ended["result"]["failed"]) == ("DONE", 2, {})
        assert client.info()["datastore"]["label_tags"] == {"final": 1, "original": 2}
        assert batch(second, "DELETE", "")[1] == {}
    left = [process for process in psutil.process_iter(["cmdline"]) if str(settings.home) in str(process.info)]
    assert left == []
