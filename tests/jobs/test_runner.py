"""Jobs run one at a time, say how they ended, and outlive the server."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import psutil
import pytest

from carina.errors import BusyError, ConflictError, InvalidInputError, UnknownJobError, UnknownNameError
from carina.jobs.runner import job_command

from .conftest import REQUEST

WORKS_UNTIL_CANCELLED = """
folder.append_event({"type": "progress", "fraction": 0.25, "message": "epoch 1"})
while folder.cancel_age_s() is None:
    time.sleep(0.02)
folder.write_error("cancel", "Cancelled on request.")
"""
ENDS_WHEN_TOLD = """
folder.append_event({"type": "progress", "fraction": 0.1, "message": "on"})
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.02)
folder.write_result({"version": "v7"})
"""
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
folder.append_event({"type": "progress", "fraction": 0.1, "message": str(child.pid)})
time.sleep(600)
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_job_that_ends_well_keeps_its_result_log_and_events(runner_of):
    runner = runner_of(
        """
folder.append_event({"type": "progress", "fraction": 0.5, "message": "half way"})
folder.append_event({"type": "epoch", "epoch": 1, "loss": 0.5})
print("hello from the job")
folder.write_result({"version": "v1"})
"""
    )
    job = runner.wait(runner.start("train", REQUEST, user="anna").id, timeout_s=60)

    assert (job.state, job.result, job.error, job.progress) == ("succeeded", {"version": "v1"}, None, 1.0)
    assert (job.user, job.task, job.request) == ("anna", "thorax_ct", REQUEST)
    assert job.created <= job.started <= job.ended
    assert runner.log_tail(job.id) == ["hello from the job"]
    events, offset = runner.events(job.id)
    assert [event["type"] for event in events] == ["state", "progress", "epoch", "state"]
    assert [event["state"] for event in events if event["type"] == "state"] == ["running", "succeeded"]
    assert runner.events(job.id, offset=offset) == ([], offset)


def test_a_finished_process_is_not_left_as_a_zombie(runner_of):
    runner = runner_of("folder.write_result({})")
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert not psutil.pid_exists(job.process.pid)


def test_progress_shows_while_the_job_runs(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message == "epoch 1")
    assert runner.status(job.id).progress == 0.25
    assert [running.id for running in runner.running("train")] == [job.id]


def test_a_job_that_says_why_it_failed_is_quoted(runner_of):
    runner = runner_of("folder.write_error('error', 'A case must have voxels, got none.'); sys.exit(1)")
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.error) == ("failed", "A case must have voxels, got none.")


def test_a_job_that_dies_without_a_word_is_failed_in_words_and_its_log_kept(runner_of):
    runner = runner_of("raise RuntimeError('deep inside')")
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert job.state == "failed"
    assert "exit status 1" in job.error
    assert "deep inside" in runner.log_tail(job.id)[-1]


def test_a_job_whose_process_cannot_start_is_failed(runner_of):
    runner = runner_of("", command=lambda folder: ["/does/not/exist"])
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert job.state == "failed"
    assert "No such file" in job.error


def test_cancelling_lets_the_job_end_by_itself(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED + "Path(sys.argv[1], 'said-goodbye').touch()")
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message == "epoch 1")
    runner.folder(job.id).ask_to_cancel()

    assert runner.wait(job.id, timeout_s=60).state == "cancelled"
    assert (runner.folder(job.id).path / "said-goodbye").exists()


def test_a_job_that_does_not_listen_is_killed_with_all_it_started(runner_of, until):
    runner = runner_of(STUBBORN, grace_s=0.3)
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message.isdecimal())
    grandchild = int(runner.status(job.id).message)

    runner.cancel(job.id)
    job = runner.wait(job.id, timeout_s=60)

    assert (job.state, job.error) == ("cancelled", "Cancelled on request.")
    until(lambda: gone(grandchild))


def test_what_a_killed_job_had_started_ends_with_it(runner_of, until):
    runner = runner_of(STUBBORN)
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message.isdecimal())
    grandchild = int(runner.status(job.id).message)
    os.kill(runner.status(job.id).process.pid, signal.SIGKILL)
    until(lambda: gone(grandchild))


def test_a_second_training_of_a_task_is_refused_unless_it_is_to_wait(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    first = runner.start("train", REQUEST)
    with pytest.raises(BusyError, match=first.id):
        runner.start("train", REQUEST)
    second = runner.start("train", REQUEST, enqueue=True)
    until(lambda: runner.status(first.id).message == "epoch 1")
    assert runner.status(second.id).state == "queued"

    runner.cancel(first.id)
    until(lambda: runner.status(second.id).state == "running")
    assert runner.status(first.id).state == "cancelled"


def test_trainings_of_two_tasks_run_one_after_the_other(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    first = runner.start("train", REQUEST)
    second = runner.start("train", {"task": "wholebody_ct", "options": {}})
    until(lambda: runner.status(first.id).message == "epoch 1")
    assert len(runner.running()) == 1
    runner.cancel(first.id)
    until(lambda: runner.status(second.id).state == "running")


def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_is_not(runner_of, until):
    runner = runner_of(WORKS_UNTIL_CANCELLED)
    runner.start("train", REQUEST)
    waiting = runner.start("train", REQUEST, enqueue=True)
    assert runner.cancel(waiting.id).state == "cancelled"
    with pytest.raises(ConflictError):
        runner.cancel(waiting.id)


def test_a_restarted_server_recognises_the_running_job(runner_of, until):
    before = runner_of(WORKS_UNTIL_CANCELLED)
    job = before.start("train", REQUEST)
    until(lambda: before.status(job.id).message == "epoch 1")
    process = before.status(job.id).process
    before.close()
    assert process.alive

    after = runner_of(WORKS_UNTIL_CANCELLED)
    after.supervise()
    assert after.status(job.id).state == "running"
    after.cancel(job.id)
    assert after.wait(job.id, timeout_s=60).state == "cancelled"


def test_a_job_that_ended_well_while_no_server_watched_has_its_result(runner_of, until):
    before = runner_of(ENDS_WHEN_TOLD)
    job = before.start("train", REQUEST)
    until(lambda: before.status(job.id).message == "on")
    process = before.status(job.id).process
    before.close()
    (before.folder(job.id).path / "go").touch()
    until(lambda: not process.alive)

    after = runner_of("")
    after.supervise()
    assert after.wait(job.id, timeout_s=60).result == {"version": "v7"}


_SERVER = """
import sys, time
from pathlib import Path
from carina.jobs.runner import JobRunner
from carina.settings import Settings
runner = JobRunner(Settings(home=Path(sys.argv[1])), command=lambda folder: [sys.executable, sys.argv[2], str(folder)])
print(runner.start("train", {"task": "thorax_ct", "options": {}}).id, flush=True)
time.sleep(600)
"""


def test_a_job_survives_a_server_that_is_killed(runner_of, settings, tmp_path, until):
    after = runner_of(WORKS_UNTIL_CANCELLED)
    script = tmp_path / "job0.py"
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(settings.home), str(script)], stdout=subprocess.PIPE, text=True
    ) as server:
        job_id = server.stdout.readline().strip()
        until(lambda: after.status(job_id).message == "epoch 1")
        server.kill()

    after.supervise()
    assert after.status(job_id).process.alive
    after.cancel(job_id)
    assert after.wait(job_id, timeout_s=60).state == "cancelled"


def test_credentials_are_in_no_command_line_environment_or_database_and_gone_in_the_end(runner_of, settings, until):
    runner = runner_of(
        WORKS_UNTIL_CANCELLED, store_url="orthanc+http://127.0.0.1:8042", credentials=("carina", "sesame-4711")
    )
    job = runner.start("train", REQUEST)
    until(lambda: runner.status(job.id).message == "epoch 1")
    folder = runner.folder(job.id).path
    process = psutil.Process(runner.status(job.id).process.pid)

    assert "sesame" not in " ".join(process.cmdline()) + str(process.environ())
    assert stat.S_IMODE((folder / "access.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    holders = [path.name for path in settings.home.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    assert holders == ["access.json"]

    runner.cancel(job.id)
    runner.wait(job.id, timeout_s=60)
    assert not (folder / "access.json").exists()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"task": "thorax_cd"}, UnknownNameError),
        ({"task": "thorax_ct", "options": {"max_epoch": 3}}, InvalidInputError),
        ({"task": "thorax_ct", "options": {"max_epochs": -3}}, InvalidInputError),
        ({"task": "thorax_ct", "options": {"device": "tpu"}}, InvalidInputError),
    ],
)
def test_a_request_that_cannot_be_right_is_refused_before_anything_is_queued(runner_of, request_, error):
    runner = runner_of("")
    with pytest.raises(error):
        runner.start("train", request_)
    assert runner.jobs() == []


def test_an_unknown_kind_and_an_unknown_job_are_refused(runner_of):
    runner = runner_of("")
    with pytest.raises(UnknownNameError, match="Available"):
        runner.start("dream", REQUEST)
    with pytest.raises(UnknownJobError):
        runner.status("nope")
    with pytest.raises(UnknownJobError):
        runner.log_tail("../../etc")


def test_the_command_is_the_module_of_this_package(tmp_path):
    assert job_command(tmp_path) == [sys.executable, "-P", "-m", "carina.jobs.work", str(tmp_path)]


def test_a_job_that_a_real_time_signal_ends_is_told_by_its_number(runner_of):
    runner = runner_of("os.kill(os.getpid(), signal.SIGRTMIN + 3)")
    job = runner.wait(runner.start("train", REQUEST).id, timeout_s=60)
    assert (job.state, job.retries) == ("interrupted", 2)
    assert f"signal {signal.SIGRTMIN + 3}" in job.error


def test_an_event_that_makes_no_sense_does_not_end_the_supervision(runner_of):
    runner = runner_of("folder.append_event({'type': 'progress'})\nfolder.write_result({})")
    assert runner.wait(runner.start("train", REQUEST).id, timeout_s=60).state == "succeeded"
