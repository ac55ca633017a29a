"""A job whose process dies goes on under its own id: by itself as the table allows, and whenever a person wants it."""

from __future__ import annotations

import os
import signal

import pytest

from carina.errors import ConflictError

from .conftest import REQUEST

DIES = "os.kill(os.getpid(), signal.SIGKILL)"
DIES_ONCE = """
marker = Path(sys.argv[1], "died")
if not marker.exists():
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
folder.write_result({"version": "v1"})
"""
STOPPED_BY_THE_SYSTEM = """
marker = Path(sys.argv[1], "stopped")
if not marker.exists():
    marker.touch()
    folder.write_error("stop", "The system asked the process to end.")
    sys.exit(3)
folder.write_result({"version": "v1"})
"""
FAILS = "folder.write_error('error', 'The PACS must answer.'); sys.exit(1)"
WORKS_UNTIL_CANCELLED = """
folder.append_event({"type": "progress", "fraction": 0.25, "message": "on"})
while folder.cancel_age_s() is None:
    time.sleep(0.02)
folder.write_error("cancel", "Cancelled on request.")
"""


def states(runner, job_id: str) -> list[tuple[str, int]]:
    return [(event["state"], event["attempt"]) for event in runner.events(job_id)[0] if event["type"] == "state"]


def test_a_killed_job_goes_on_under_its_id_and_its_events_continue(runner_of):
    runner = runner_of(DIES_ONCE)
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.result, job.attempt, job.error) == ("succeeded", {"version": "v1"}, 2, None)
    assert states(runner, job.id) == [("running", 1), ("interrupted", 1), ("running", 2), ("succeeded", 2)]


def test_a_job_that_is_killed_each_time_is_given_up_after_two_resumptions_in_words(runner_of):
    runner = runner_of(DIES)
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.attempt) == ("interrupted", 3)
    assert "SIGKILL" in job.error


def test_a_job_that_reported_an_error_is_not_resumed_by_itself_but_by_a_person(runner_of, tmp_path):
    runner = runner_of(FAILS)
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.attempt) == ("failed", 1)
    (tmp_path / "job0.py").write_text((tmp_path / "job0.py").read_text().replace(FAILS, "folder.write_result({})"))
    assert runner.resume(job.id).state == "queued"
    job = runner.wait(job.id, timeout_s=60)
    assert (job.state, job.attempt, job.error) == ("succeeded", 2, None)


def test_a_job_that_the_system_stopped_is_resumed_and_that_is_not_counted(runner_of):
    runner = runner_of(STOPPED_BY_THE_SYSTEM)
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.attempt, job.retries) == ("succeeded", 2, 0)


def test_a_cancelled_job_is_resumed_by_a_person_and_forgets_that_it_was_cancelled(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message == "on")
    runner.cancel(job.id)
    assert runner.wait(job.id, timeout_s=60).state == "cancelled"

    runner.resume(job.id)
    until(lambda: runner.status(job.id).attempt == 2 and runner.status(job.id).message == "on")
    assert runner.status(job.id).state == "running"
    with pytest.raises(ConflictError, match="running"):
        runner.resume(job.id)


def test_a_job_that_has_its_result_is_not_resumed(runner_of):
    runner = runner_of("folder.write_result({})")
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    with pytest.raises(ConflictError, match="succeeded"):
        runner.resume(job.id)


def test_the_checkpoint_of_a_job_stays_until_the_job_has_ended_well(runner_of, tmp_path):
    runner = runner_of("folder.checkpoint.touch()\n" + DIES)
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert runner.folder(job.id).checkpoint.exists()
    (tmp_path / "job0.py").write_text((tmp_path / "job0.py").read_text().replace(DIES, "folder.write_result({})"))
    runner.resume(job.id)
    assert runner.wait(job.id, timeout_s=60).state == "succeeded"
    assert not runner.folder(job.id).checkpoint.exists()


def test_a_restarted_server_resumes_a_job_that_is_gone(runner_of, until):
    before = runner_of(WORKS_UNTIL_CANCELLED)
    job = before.start("train", REQUEST)
    until(lambda: before.status(job.id).message == "on")
    process = before.status(job.id).process
    before.close()
    process.kill_session()
    until(lambda: not process.alive)

    after = runner_of("folder.write_result({'version': 'v2'})")
    after.supervise()
    job = after.wait(job.id, timeout_s=60)
    assert (job.state, job.attempt, job.result) == ("succeeded", 2, {"version": "v2"})
    lost = next(event for event in after.events(job.id)[0] if event.get("state") == "interrupted")
    assert "no server watched" in lost["error"]


def test_without_a_server_what_became_of_a_job_can_be_recorded_and_nothing_is_started(runner_of, until):
    before = runner_of(WORKS_UNTIL_CANCELLED)
    job = before.start("train", REQUEST)
    until(lambda: before.status(job.id).message == "on")
    process = before.status(job.id).process
    assert runner_of("").settle() is False  # somebody else supervises
    before.close()

    desk = runner_of("")
    desk.cancel(job.id)
    until(lambda: not process.alive)
    assert desk.settle() is True
    assert desk.status(job.id).state == "cancelled"
    assert desk.store.resume(job.id, clear=lambda: None).state == "queued"
    assert desk.settle() is True
    assert desk.status(job.id).state == "queued"


def test_a_signal_between_two_attempts_does_not_lose_a_request_to_cancel(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message == "on")
    runner.folder(job.id).ask_to_cancel()
    runner.folder(job.id).clear_ending()
    os.kill(runner.status(job.id).process.pid, signal.SIGKILL)
    assert runner.wait(job.id, timeout_s=60).state == "cancelled"
