"""The process of a job leaves its outcome in words, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carina.errors import CancelledError, PacsError
from carina.jobs.folder import ImageAccess, JobFolder
from carina.jobs.runner import job_command
from carina.jobs.work import EXIT_CANCELLED, EXIT_FAILED, Cancellation, finite, run


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.prepare({"task": "thorax_ct"}, access=ImageAccess(store_url=str(tmp_path)))
    return made


def raising(error: BaseException):
    def work():
        raise error

    return work


def test_a_result_is_left_without_numbers_json_does_not_have(folder):
    assert run(folder, lambda: {"dice": float("nan"), "rows": [1.0, (float("inf"), None)]}) == 0
    assert folder.outcome().result == {"dice": None, "rows": [1.0, [None, None]]}


def test_an_error_of_ours_is_quoted(folder):
    assert run(folder, raising(PacsError("The PACS must answer, got status 500."))) == EXIT_FAILED
    assert (folder.outcome().cause, folder.outcome().error) == ("error", "The PACS must answer, got status 500.")


def test_an_unexpected_error_is_named_but_its_text_stays_in_the_log(folder, caplog):
    assert run(folder, raising(KeyError("PatientName^Secret"))) == EXIT_FAILED
    assert "KeyError" in folder.outcome().error
    assert "Secret" not in folder.outcome().error
    assert "Traceback" in caplog.text


def test_a_full_disk_is_said_so(folder):
    assert run(folder, raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret"))) == EXIT_FAILED
    assert folder.outcome().error == "The disk must have room, and is full. Free some space, try again."


def test_a_cancelled_job_says_so(folder):
    folder.ask_to_cancel()
    assert run(folder, raising(CancelledError("The training was cancelled."))) == EXIT_CANCELLED
    assert (folder.outcome().cause, folder.outcome().error) == ("cancel", "Cancelled on request.")


def test_a_job_that_the_system_ends_was_not_cancelled_by_anybody(folder):
    assert run(folder, raising(CancelledError("The training was cancelled."))) == EXIT_CANCELLED
    assert folder.outcome().cause == "stop"


def test_cancellation_comes_by_flag(folder):
    cancelled = Cancellation(folder)
    assert not cancelled()
    folder.ask_to_cancel()
    assert Cancellation(folder)()


def test_cancellation_comes_by_sigterm(folder):
    before = signal.getsignal(signal.SIGTERM)
    try:
        cancelled = Cancellation(folder)
        cancelled.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancelled()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_finite_keeps_everything_else():
    assert finite({1: "a", "b": [True, None, 2]}) == {"1": "a", "b": [True, None, 2]}


def test_a_damaged_job_folder_is_an_error_in_words(tmp_path):
    (tmp_path / "job").mkdir()
    done = subprocess.run(job_command(tmp_path / "job"), check=False, capture_output=True, timeout=300)
    assert done.returncode == EXIT_FAILED
    assert "job.json" in json.loads((tmp_path / "job" / "error.json").read_text())["error"]


def test_a_cancelled_process_ends_with_its_status_without_being_torn_down():
    program = (
        "import atexit, sys; from carina.jobs.work import EXIT_CANCELLED, leave; "
        "atexit.register(print, 'torn down'); print('said', end=''); leave(int(sys.argv[1]))"
    )
    ended = [
        subprocess.run([sys.executable, "-c", program, str(status)], check=False, capture_output=True, timeout=300)
        for status in (EXIT_CANCELLED, EXIT_FAILED)
    ]
    assert [done.returncode for done in ended] == [EXIT_CANCELLED, EXIT_FAILED]
    assert [b"torn down" in done.stdout for done in ended] == [False, True]
    assert all(done.stdout.startswith(b"said") for done in ended)
