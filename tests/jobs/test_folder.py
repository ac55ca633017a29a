"""What a server and a job's process tell each other through files is complete or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from carina.errors import ConfigurationError
from carina.jobs.folder import ImageAccess, JobFolder
from carina.jobs.process import mark_of

ACCESS = ImageAccess(store_url="orthanc+https://pacs", credentials=("carina", "secret"), verify_tls=Path("/ca.pem"))


@pytest.fixture
def folder(tmp_path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.prepare({"task": "thorax_ct"}, access=ACCESS)
    return made


def test_the_request_has_no_secret_in_it(folder):
    assert folder.request() == {"task": "thorax_ct"}
    assert "secret" not in (folder.path / "job.json").read_text()


def test_access_is_for_the_owner_and_can_be_taken_once(folder):
    assert stat.S_IMODE((folder.path / "access.json").stat().st_mode) == 0o600
    assert folder.take_access() == ACCESS
    with pytest.raises(ConfigurationError, match=r"access\.json"):
        folder.take_access()


def test_a_line_that_is_not_complete_yet_is_read_later(folder):
    folder.append_event({"message": "one"})
    with (folder.path / "events.jsonl").open("a") as stream:
        stream.write('{"message": "tw')
    events, offset = folder.events()
    assert [event["message"] for event in events] == ["one"]
    with (folder.path / "events.jsonl").open("a") as stream:
        stream.write('o"}\n')
    assert [event["message"] for event in folder.events(offset=offset)[0]] == ["two"]


def test_a_torn_line_takes_no_other_with_it(folder):
    (folder.path / "events.jsonl").write_text('{"message": "o\n')
    folder.append_event({"message": "two"})
    assert [event["message"] for event in folder.events()[0]] == ["two"]


def test_asking_to_cancel_twice_keeps_the_first_time(folder):
    assert folder.cancel_age_s() is None
    folder.ask_to_cancel()
    os.utime(folder.path / "cancel", (0, 0))
    folder.ask_to_cancel()
    assert folder.cancel_age_s() > 1_000_000


def test_no_outcome_is_none_and_a_half_written_one_too(folder):
    assert folder.outcome() is None
    (folder.path / "result.json").write_text('{"version":')
    assert folder.outcome() is None


def test_a_result_counts_more_than_an_error(folder):
    folder.write_error("error", "It broke.")
    folder.write_result({"version": "v1"})
    assert folder.outcome().result == {"version": "v1"}


def test_the_tail_of_a_long_log_is_short(folder):
    folder.log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert folder.log_tail(lines=2) == ["line 49998", "line 49999"]
    assert JobFolder(folder.path / "other").log_tail() == []


def test_a_process_introduces_itself(folder):
    assert folder.process() is None
    folder.write_process(mark_of(os.getpid()))
    assert folder.process().alive
