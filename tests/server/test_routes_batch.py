"""Batch inference through the protocol, with a small script in place of the process."""

from __future__ import annotations

import time

import pytest

from carina.errors import InvalidInputError
from carina.server.routes_batch import batch_options

SCRIPT = """
import sys, time
from pathlib import Path
from carina.jobs.folder import JobFolder
folder = JobFolder(Path(sys.argv[1]))
folder.forget_access()
while folder.request()["options"]["images"] == "unlabelled" and folder.cancel_age_s() is None:
    time.sleep(0.05)
folder.write_result({"drafted": 2})
"""
# What monailabel 0.8.5 shows as the default body of the route.
STOCK = {
    "device": "cuda", "multi_gpu": True, "gpus": "all", "logging": "WARNING", "save_label": True,
    "label_tag": "original", "max_workers": 1, "max_batch_size": 0,
}  # fmt: skip


@pytest.fixture
def services(runs_script):
    return runs_script(SCRIPT)


def wait_until_ended(http) -> dict:
    while http.get("/batch/infer?check_if_running=true").status_code == 200:
        time.sleep(0.05)
    return http.get("/batch/infer").json()


def test_a_batch_goes_through_the_states_clients_know(http):
    assert http.get("/batch/infer").status_code == 404
    started = http.post("/batch/infer/thorax_ct?images=all", json={**STOCK, "client_id": "me"})
    assert started.status_code == 200, started.text
    assert started.json()["request"] == {"model": "thorax_ct", "images": "all", "device": "auto"}
    ended = wait_until_ended(http)
    assert (ended["id"], ended["status"], ended["result"]) == (started.json()["id"], "DONE", {"drafted": 2})
    assert http.get("/batch/infer?all=true").json() == [ended]


def test_a_second_batch_of_a_task_is_refused_and_the_first_is_stopped(http):
    first = http.post("/batch/infer/thorax_ct?images=unlabeled").json()
    assert http.post("/batch/infer/thorax_ct").status_code == 429
    assert http.delete("/batch/infer").json()["id"] == first["id"]
    assert wait_until_ended(http)["status"] in ("STOPPED", "DONE")
    assert http.delete("/batch/infer/").json() == {}


@pytest.mark.parametrize(
    ("address", "params", "status"),
    [
        ("/batch/infer/nothing", {}, 404),
        ("/batch/infer/thorax_ct?images=labeled", {}, 422),
        ("/batch/infer/thorax_ct?images=../x", {}, 400),
        ("/batch/infer/thorax_ct", {"label_tag": "final"}, 422),
        ("/batch/infer/thorax_ct", {"max_batch_size": -1}, 422),
        ("/batch/infer/thorax_ct", {"overlapp": 0.5}, 422),
        ("/batch/infer/thorax_ct", {"image_path": "/etc/passwd"}, 400),
    ],
)
def test_bad_requests_are_refused_and_start_nothing(http, address, params, status):
    assert http.post(address, json=params).status_code == status
    assert http.get("/carina/jobs").json() == []


def test_images_may_be_named():
    assert batch_options("a,b", {})["images"] == ["a", "b"]
    assert batch_options("all", {"images": ["c"], "max_batch_size": 5}) == {"images": ["c"], "limit": 5}
    with pytest.raises(InvalidInputError, match="passed over"):
        batch_options("labeled", {})
