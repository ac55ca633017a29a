"""Scoring through the protocol, with a small script in place of the process."""

from __future__ import annotations

import time

import pytest

SCRIPT = """
import sys
from pathlib import Path
from carina.jobs.folder import JobFolder
folder = JobFolder(Path(sys.argv[1]))
folder.forget_access()
folder.write_result({"scored": 2})
"""


@pytest.fixture
def services(runs_script):
    return runs_script(SCRIPT)


def wait_until_ended(http) -> dict:
    while http.get("/scoring/?check_if_running=true").status_code == 200:
        time.sleep(0.05)
    return http.get("/scoring/").json()


def test_a_scoring_goes_through_the_states_clients_know(http):
    assert http.get("/scoring/").status_code == 404
    assert http.get("/info/").json()["scoring"]["entropy"]["description"]
    started = http.post("/scoring/entropy", json={"model": "thorax_ct", "client_id": "me"}).json()
    assert started["request"] == {"model": "thorax_ct", "method": "entropy"}
    ended = wait_until_ended(http)
    assert (ended["id"], ended["status"], ended["result"]) == (started["id"], "DONE", {"scored": 2})
    assert http.delete("/scoring/").json() == {}


def test_all_methods_are_queued_without_a_name(http):
    answer = http.post("/scoring/", json={"entropy": {"model": "thorax_ct", "limit": 5}}).json()
    assert answer["entropy"]["result"]["request"]["limit"] == 5
    assert "whose model" in http.post("/scoring/", json={}).json()["entropy"]["detail"]
    wait_until_ended(http)


@pytest.mark.parametrize(
    ("address", "params", "status"),
    [
        ("/scoring/dice", {"model": "thorax_ct"}, 404),
        ("/scoring/entropy", {}, 422),
        ("/scoring/entropy", {"model": "nothing"}, 404),
        ("/scoring/entropy", {"model": "thorax_ct", "images": "some"}, 422),
        ("/scoring/entropy", {"model": "thorax_ct", "model_path": "x"}, 400),
    ],
)
def test_bad_requests_are_refused_and_start_nothing(http, address, params, status):
    assert http.post(address, json=params).status_code == status
    assert http.get("/carina/jobs").json() == []


def test_images_are_looked_at_in_a_job_with_or_without_a_model(http):
    started = http.put("/scoring/looks/thorax_ct", json={"images": "all", "client_id": "me"})
    assert (started.status_code, started.json()["request"]) == (200, {"model": "thorax_ct", "images": "all"})
    while http.get(f"/carina/jobs/{started.json()['id']}").json()["status"] in ("PENDING", "RUNNING"):
        time.sleep(0.05)
    assert http.put("/scoring/looks/scribbles").status_code == 422
    assert http.put("/scoring/looks/thorax_ct", json={"overlap": 1}).status_code == 422
