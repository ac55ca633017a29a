"""Waiting for an inference: a client that goes away takes its work with it, and the server answers meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import httpx
import pytest

from carina.errors import CancelledError
from carina.server.workers import InferencePool

DEADLINE_S = 60


def waiting_runner(request, progress, cancelled):
    progress(0.25, "waiting")
    while not cancelled():
        time.sleep(0.01)
    raise CancelledError("The inference was cancelled.")


def make_waiting_runner():
    return waiting_runner


@pytest.fixture
def services(services):
    pool = InferencePool(make_waiting_runner, limit=1)
    yield replace(services, pool=pool)
    pool.close()


def until_state(http, request_id: str, state: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (answer := http.get(f"/carina/infer/{request_id}")).status_code == 404 or answer.json()["state"] != state:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def test_a_client_that_goes_away_cancels_its_inference(http, nothing_is_left):
    form = {"params": '{"request_id": "gone"}'}
    with pytest.raises(httpx.ReadTimeout):
        http.post("/infer/thorax_ct?image=case-a", data=form, timeout=httpx.Timeout(30, read=1.0))
    until_state(http, "gone", "cancelled")
    nothing_is_left()


def test_while_one_runs_the_server_answers_refuses_more_and_cancels_on_request(http):
    answers = []
    form = {"params": '{"request_id": "long"}'}
    waiting = threading.Thread(
        target=lambda: answers.append(http.post("/infer/thorax_ct?image=case-a", data=form, timeout=DEADLINE_S))
    )
    waiting.start()
    until_state(http, "long", "running")
    assert http.get("/info/").status_code == 200
    assert http.post("/infer/thorax_ct?image=case-b").status_code == 429
    assert http.delete("/carina/infer/long").status_code == 200
    waiting.join(DEADLINE_S)
    assert answers[0].status_code == 409
    assert answers[0].json()["error"] == "CancelledError"
