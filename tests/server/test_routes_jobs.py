"""Jobs through REST: followed as server-sent events, cancelled, resumed; with small scripts as their processes."""

from __future__ import annotations

import json
import threading
import time

import anyio
import pytest

from carina.server.job_stream import stream

SCRIPT = """
import os, sys, time
from pathlib import Path
from carina.jobs.folder import JobFolder
from carina.jobs.process import mark_of
folder = JobFolder(Path(sys.argv[1]))
folder.write_process(mark_of(os.getpid()))
folder.forget_access()
for number in range(3):
    folder.append_event({"type": "progress", "fraction": number / 10, "message": f"step {number}"})
folder.append_event({"type": "epoch", "epoch": 1, "dice": 0.5})
if folder.request()["options"].get("max_epochs") == 99:
    while folder.cancel_age_s() is None:
        time.sleep(0.05)
    folder.write_error("cancel", "Cancelled on request.")
else:
    folder.write_result({"version": "v1"})
"""


@pytest.fixture
def services(runs_script):
    return runs_script(SCRIPT)


def start(http, **options) -> str:
    return http.post("/train/thorax_ct", json=options).json()["id"]


def followed(http, job_id: str, **headers) -> list[tuple[str, int, dict]]:
    """Name, id and content of every event until the stream ends."""
    events = []
    with http.stream("GET", f"/carina/jobs/{job_id}/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in "".join(answer.iter_text()).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                events.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return events


def test_a_stream_tells_everything_in_order_and_ends_with_the_job(http):
    job_id = start(http)
    events = followed(http, job_id)
    assert [name for name, _, _ in events if name != "state"] == ["progress"] * 3 + ["epoch", "end"]
    assert [content["state"] for name, _, content in events if name == "state"] == ["running", "succeeded"]
    name, _, job = events[-1]
    assert (name, job["id"], job["status"], job["result"]) == ("end", job_id, "DONE", {"version": "v1"})


def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(http):
    job_id = start(http)
    whole = followed(http, job_id)
    for position, (_, identity, _) in enumerate(whole[:-1]):
        assert followed(http, job_id, **{"Last-Event-ID": str(identity)}) == whole[position + 1 :]


def test_the_stream_of_a_running_job_is_live_and_the_server_answers_meanwhile(http):
    job_id = start(http, max_epochs=99)
    seen: list[str] = []

    def follow():
        seen.extend(name for name, _, _ in followed(http, job_id))

    followers = [threading.Thread(target=follow) for _ in range(8)]
    for follower in followers:
        follower.start()
    while http.get(f"/carina/jobs/{job_id}").json()["message"] != "step 2":
        time.sleep(0.05)
    assert http.delete(f"/carina/jobs/{job_id}").status_code == 200
    for follower in followers:
        follower.join(60)
        assert not follower.is_alive()
    assert seen.count("end") == 8


def test_a_client_that_hangs_up_is_let_go(http, services):
    job_id = start(http, max_epochs=99)
    with http.stream("GET", f"/carina/jobs/{job_id}/stream") as answer:
        next(answer.iter_text())
    # Were the stream still running, the server of the fixture could not stop before its grace time is over.
    assert http.delete(f"/carina/jobs/{job_id}").json()["state"] in ("running", "cancelled")


def test_a_silent_job_is_kept_alive_with_comments(services):
    job = services.jobs.start("train", {"task": "thorax_ct", "options": {"max_epochs": 99}})
    while services.jobs.status(job.id).message != "step 2":
        time.sleep(0.05)

    async def first_comment() -> str:
        async for text in stream(services, job.id, offset=0, heartbeat_s=0.0):
            if text.startswith(":"):
                return text
        return ""

    assert anyio.run(first_comment).endswith("\n\n")


def test_a_cancelled_job_is_resumed_under_its_id(http):
    job_id = start(http, max_epochs=99)
    while http.get(f"/carina/jobs/{job_id}").json()["message"] != "step 2":
        time.sleep(0.05)
    assert http.post(f"/carina/jobs/{job_id}/resume").status_code == 409
    http.delete(f"/carina/jobs/{job_id}")
    assert followed(http, job_id)[-1][2]["status"] == "STOPPED"
    resumed = http.post(f"/carina/jobs/{job_id}/resume").json()
    assert (resumed["id"], resumed["state"]) == (job_id, "queued")
    while (job := http.get(f"/carina/jobs/{job_id}").json())["attempt"] != 2:
        time.sleep(0.05)
    assert (job["kind"], job["slot"]) == ("train", "cpu")


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("/carina/jobs/0123/stream", {}, 404),
        ("/carina/jobs/..%2Fx/stream", {}, 404),
        ("/carina/jobs/{}/stream", {"Last-Event-ID": "x"}, 422),
        ("/carina/jobs/{}/stream?offset=-1", {}, 422),
    ],
)
def test_a_stream_that_cannot_be_is_refused_in_words(http, address, headers, status):
    answer = http.get(address.format(start(http)), headers=headers)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_jobs_are_listed_by_kind(http):
    job_id = start(http)
    assert [job["id"] for job in http.get("/carina/jobs?kind=train").json()] == [job_id]
    assert http.get("/carina/jobs?kind=infer").json() == []
