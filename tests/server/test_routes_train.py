"""Training through the protocol, with a small script in place of the training process."""

from __future__ import annotations

import time

import pytest

SCRIPT = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "access.json").unlink(missing_ok=True)
request = json.loads((folder / "job.json").read_text())
with (folder / "events.jsonl").open("a") as events:
    events.write(json.dumps({"type": "progress", "fraction": 0.5, "message": "half way"}) + "\\n")
    events.write(json.dumps({"type": "epoch", "epoch": 3, "fraction": 0.5, "dice": 0.75}) + "\\n")
while request["options"].get("max_epochs") == 99 and not (folder / "cancel").exists():
    time.sleep(0.05)
print("trained")
(folder / "result.json").write_text(json.dumps({"version": "v1", "promoted": True}))
"""


@pytest.fixture
def services(runs_script):
    return runs_script(SCRIPT)


def wait_until_ended(http) -> dict:
    deadline = time.monotonic() + 60
    while http.get("/train/?check_if_running=true").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return http.get("/train/").json()


def test_a_training_goes_through_the_states_slicer_knows(http):
    assert http.get("/train/").status_code == 404
    started = http.post("/train/thorax_ct", json={"max_epochs": "2", "client_id": "me"})
    assert started.status_code == 200, started.text
    assert started.json()["status"] in ("SUBMITTED", "RUNNING")
    ended = wait_until_ended(http)
    assert (ended["id"], ended["status"]) == (started.json()["id"], "DONE")
    assert ended["request"]["model"] == "thorax_ct"
    assert ended["details"] == ["trained"]
    stats = http.get("/info/").json()["train_stats"]["thorax_ct"]
    assert (stats["epoch"], stats["total_epochs"], stats["best_metric"]) == (3, 2, 0.75)
    assert [job["id"] for job in http.get("/carina/jobs").json()] == [ended["id"]]
    events = http.get(f"/carina/jobs/{ended['id']}/events").json()
    assert [event.get("message") for event in events["events"]] == [None, "half way", None, None]
    assert http.get(f"/carina/jobs/{ended['id']}/events?offset={events['offset']}").json()["events"] == []


def test_a_second_training_of_a_task_waits_or_is_refused_and_all_are_stopped(http):
    first = http.post("/train/thorax_ct", json={"max_epochs": 99}).json()
    assert http.post("/train/thorax_ct", json={}).status_code == 429
    assert http.post("/train/thorax_ct?enqueue=true", json={}).status_code == 200
    assert http.delete("/train/").json()["id"] == first["id"]
    wait_until_ended(http)
    assert {job["status"] for job in http.get("/train/?all=true").json()} == {"STOPPED"}


def test_slicer_is_told_first_of_the_training_that_runs(http):
    http.post("/train/thorax_ct", json={"max_epochs": 2})
    wait_until_ended(http)
    http.post("/train/wholebody_ct", json={"max_epochs": 99})
    stats = http.get("/info/").json()["train_stats"]
    assert list(stats)[:2] == ["wholebody_ct", "thorax_ct"]
    assert stats["wholebody_ct"]["total_epochs"] == 99
    stopped = http.delete("/train/").json()
    assert stopped["details"]  # Slicer reads the last one, whatever else the answer holds
    wait_until_ended(http)


def test_a_tool_without_a_network_is_not_trained(http):
    assert "scribbles" not in http.get("/info/").json()["trainers"]
    refused = http.post("/train/scribbles", json={})
    assert refused.status_code == 422
    assert "needs no training" in refused.json()["detail"]
    assert "scribbles" not in http.post("/train/", json={}).json()
    http.delete("/train/")
    wait_until_ended(http)


def test_all_tasks_are_queued_without_a_name(http):
    answer = http.post("/train/", json={"thorax_ct": {"max_epochs": 2}}).json()
    assert answer["thorax_ct"]["result"]["request"]["max_epochs"] == 2
    assert answer["wholebody_ct"]["detail"] is None
    wait_until_ended(http)


@pytest.mark.parametrize(
    ("address", "params", "status"),
    [
        ("/train/thorax_cd", {}, 404),
        ("/train/thorax_ct", {"max_epoch": 1}, 422),
        ("/train/thorax_ct", {"max_epochs": "many"}, 422),
        ("/train/thorax_ct", {"model_filename": "x.pt"}, 400),
        ("/train/thorax_ct", [1], 422),
    ],
)
def test_bad_requests_are_refused_and_start_nothing(http, address, params, status):
    assert http.post(address, json=params).status_code == status
    assert http.get("/carina/jobs").json() == []


def test_unknown_jobs_are_said_so(http):
    assert http.get("/carina/jobs/0123").status_code == 404
    assert http.get("/carina/jobs/..%2Fx").status_code in (400, 404)
