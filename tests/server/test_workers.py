"""The pool: real processes with small runners in place of a network."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from carina.errors import BusyError, CancelledError, CarinaError, ConflictError, NotFoundError, SeriesError
from carina.server.tickets import InferenceRequest, InferenceResult, Ticket
from carina.server.workers import InferencePool

TIMEOUT_S = 60


def small_runner(request, progress, cancelled):
    """Does what the request's option `do` says."""
    action = request.options.get("do", "answer")
    if action == "die":
        os._exit(3)
    if action == "refuse":
        raise SeriesError("A series must not miss slices, got a gap. Send it again.")
    if action == "break":
        raise RuntimeError("secret inner state")
    if action == "wait":
        progress(0.25, "waiting")
        while not cancelled():
            time.sleep(0.01)
        raise CancelledError("The inference was cancelled.")
    if action == "compute":  # and look at nothing meanwhile
        Path(request.options["pid_file"]).write_text(str(os.getpid()))
        time.sleep(2 * TIMEOUT_S)
    progress(0.5, "half way")
    return InferenceResult(path=request.output, params={"pid": os.getpid(), "nice": os.nice(0)})


def make_small_runner():
    return small_runner


def request(name: str, **options) -> InferenceRequest:
    return InferenceRequest(
        request_id=name, task="thorax_ct", image=Path("image"), output=Path("out.nii.gz"), options=options
    )


def until(condition, what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    pool = InferencePool(partial(make_small_runner), limit=3)
    pool.start()
    yield pool
    pool.close()


def test_runs_in_another_process_with_lower_priority(pool):
    result = pool.submit(request("a")).future.result(TIMEOUT_S)
    assert result.params["pid"] != os.getpid()
    assert result.params["nice"] > os.nice(0)
    assert pool.ticket("a").describe() | {"age_s": 0} == {
        "request_id": "a", "task": "thorax_ct", "state": "done", "fraction": 1.0, "phase": "done", "age_s": 0,
    }  # fmt: skip


def test_ctrl_c_is_left_to_the_server_from_the_worker_s_first_moment_on(pool):
    until(pool.worker_pids, "a worker")
    (worker,) = pool.worker_pids()
    os.kill(worker, signal.SIGINT)
    assert pool.submit(request("a")).future.result(TIMEOUT_S).params["pid"] == worker
    os.kill(worker, signal.SIGINT)
    assert pool.submit(request("b")).future.result(TIMEOUT_S).params["pid"] == worker


def test_an_error_of_ours_reaches_the_caller_with_its_class(pool):
    with pytest.raises(SeriesError, match="must not miss slices"):
        pool.submit(request("a", do="refuse")).future.result(TIMEOUT_S)


def test_an_unknown_error_hides_its_internals_and_the_worker_goes_on(pool):
    with pytest.raises(CarinaError, match="failed unexpectedly") as caught:
        pool.submit(request("a", do="break")).future.result(TIMEOUT_S)
    assert "secret" not in str(caught.value)
    pool.submit(request("b")).future.result(TIMEOUT_S)


def test_a_crashed_worker_is_replaced_and_the_next_request_works(pool):
    first = pool.submit(request("a")).future.result(TIMEOUT_S).params["pid"]
    with pytest.raises(CarinaError, match="exit code 3"):
        pool.submit(request("b", do="die")).future.result(TIMEOUT_S)
    second = pool.submit(request("c")).future.result(TIMEOUT_S).params["pid"]
    assert second != first


def test_a_killed_worker_is_reported_as_out_of_memory(pool):
    ticket = pool.submit(request("a", do="wait"))
    until(lambda: ticket.phase == "waiting", "running")
    psutil.Process(pool.worker_pids()[0]).kill()
    with pytest.raises(CarinaError, match="memory") as caught:
        ticket.future.result(TIMEOUT_S)
    assert caught.value.http_status == 503


def test_a_running_request_reports_progress_and_can_be_cancelled(pool):
    ticket = pool.submit(request("a", do="wait"))
    until(lambda: ticket.describe()["fraction"] == 0.25, "progress")
    pool.cancel("a")
    with pytest.raises(CancelledError):
        ticket.future.result(TIMEOUT_S)
    assert ticket.state == "cancelled"
    pool.submit(request("b")).future.result(TIMEOUT_S)


def test_a_queued_request_is_cancelled_at_once(pool):
    first = pool.submit(request("a", do="wait"))
    second = pool.submit(request("b"))
    pool.cancel("b")
    with pytest.raises(CancelledError, match="before it started"):
        second.future.result(TIMEOUT_S)
    assert not first.future.done()


def test_a_full_queue_refuses_with_429(pool):
    for name in "abc":
        pool.submit(request(name, do="wait"))
    with pytest.raises(BusyError) as caught:
        pool.submit(request("d"))
    assert caught.value.http_status == 429


def test_a_request_id_is_used_once(pool):
    pool.submit(request("a")).future.result(TIMEOUT_S)
    with pytest.raises(ConflictError, match="request id"):
        pool.submit(request("a"))


def test_an_unknown_request_is_not_found(pool):
    with pytest.raises(NotFoundError):
        pool.cancel("nobody")


def test_closing_ends_the_processes_and_fails_what_runs():
    pool = InferencePool(partial(make_small_runner))
    pool.start()
    ticket = pool.submit(request("a", do="wait"))
    until(lambda: ticket.phase == "waiting", "running")
    pids = pool.worker_pids()
    pool.close()
    with pytest.raises(CancelledError):
        ticket.future.result(TIMEOUT_S)
    assert pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(ConflictError, match="stopping"):
        pool.submit(request("b"))


_KILLED_WHILE_COMPUTING = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from carina.server.workers import InferencePool
from tests.server.test_workers import make_small_runner, request

pool = InferencePool(partial(make_small_runner), limit=3)
pool.start()
pool.submit(request("a", do="compute", pid_file=sys.argv[1]))
while not Path(sys.argv[1]).is_file():
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_server_takes_a_computing_worker_with_it(tmp_path):
    pid_file = tmp_path / "pid"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_COMPUTING, str(pid_file)], cwd=root, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(pid_file.read_text())
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "worker's end")


def test_a_ticket_ends_once():
    ticket = Ticket(request("a"))
    ticket.fail(CancelledError("first"))
    ticket.fail(CarinaError("second"))
    assert isinstance(ticket.future.exception(), CancelledError)
    assert not ticket.begin()


def test_a_client_that_gives_up_does_not_keep_a_worker_from_finishing():
    ticket = Ticket(request("a"))

    async def give_up() -> None:
        waiting = asyncio.wrap_future(ticket.future)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(give_up())
    assert ticket.begin()
    ticket.finish(InferenceResult(path=Path("x"), params={}))
    assert ticket.state == "done"
