from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
import torch

from carina.models.store import ModelStore
from carina.models.tracking import MlflowTracking
from carina.settings import Settings

TIMEOUT_S = 240


@pytest.fixture
def trained(carina_home):
    """A run and its version, as a training leaves them."""
    settings = Settings()
    run = MlflowTracking(settings.tracking_dir).start("thorax_ct", name="training", parameters={"seed": 0})
    run.log_epoch(1, {"dice/heart": 0.5})
    run.finish(status="FINISHED", tags={"version": "v1"})
    models = ModelStore(settings.models_dir)
    models.add("thorax_ct", {"weight": torch.zeros(2)}, fingerprint="f", labels={"heart": 1})
    return models


@pytest.mark.slow
def test_opens_pages_that_follow_the_pointer_and_ends_with_ctrl_c(trained, carina_home):
    program = "import sys\nfrom carina.cli import main\nsys.argv = ['carina', 'mlflow', '--json']\nmain()"
    environment = {**os.environ, "CARINA_HOME": str(carina_home)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        try:
            told = json.loads(process.stdout.readline())
            assert told["url"].startswith("http://127.0.0.1:")
            assert list(told["trainings"]) == ["thorax_ct"]
            with httpx.Client(base_url=told["url"], trust_env=False, timeout=60) as http:
                assert "<html" in http.get("/").text
                registered = "/ajax-api/2.0/mlflow/registered-models/get?name=thorax_ct"
                versions = http.get(registered).json()["registered_model"]["latest_versions"]
                assert [{tag["key"]: tag["value"] for tag in row["tags"]}["version"] for row in versions] == ["v1"]

                trained.promote("thorax_ct", "v1", reason="while the pages are open")
                deadline = time.monotonic() + TIMEOUT_S
                while "aliases" not in (model := http.get(registered).json()["registered_model"]):
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
                assert model["aliases"] == [{"alias": "served", "version": "1"}]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            with pytest.raises(httpx.ConnectError):
                httpx.get(told["url"], trust_env=False)
        finally:
            process.kill()


def test_a_port_that_is_taken_is_an_error(carina, monkeypatch):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = carina("mlflow", "--port", taken.getsockname()[1], "--json")
    for number, handler in handlers.items():
        signal.signal(number, handler)

    assert (ran.exit_code, ran.json["error"]) == (1, "ConflictError")
