"""The states of a job follow the table, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from carina.annotations.database import Database
from carina.errors import BusyError, ConflictError
from carina.jobs.store import TRANSITIONS, JobStore


@pytest.fixture
def jobs(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    database.create_tables()
    yield JobStore(database)
    database.close()


def test_jobs_are_claimed_in_the_order_they_were_asked_for_and_each_once(jobs):
    asked = [jobs.add("train", task=f"task{number}", request={}).id for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        claimed = [job.id for job in pool.map(lambda _: jobs.claim_next(), range(20)) if job is not None]
    assert sorted(claimed) == sorted(asked)
    assert jobs.claim_next() is None


def test_of_eight_who_ask_at_once_one_gets_the_training(jobs):
    def ask(_: int) -> bool:
        try:
            jobs.add("train", task="thorax_ct", request={})
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 1


def test_progress_of_an_ended_job_does_not_change(jobs):
    jobs.add("train", task="thorax_ct", request={})
    job = jobs.claim_next()
    jobs.finish(job.id, "failed", error="It broke.")
    jobs.set_progress(job.id, progress=0.5, message="late")
    assert (jobs.get(job.id).progress, jobs.get(job.id).message) == (0.0, "It broke.")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=strategies.lists(strategies.sampled_from(["claim", "cancel", "succeeded", "failed", "interrupted"])))
def test_no_sequence_of_calls_reaches_a_state_the_table_does_not_allow(jobs, steps):
    job_id = jobs.add("train", task="thorax_ct", request={}, enqueue=True).id
    state = "queued"
    for step in steps:
        try:
            if step == "claim":
                while (claimed := jobs.claim_next()) is not None and claimed.id != job_id:
                    pass
            elif step == "cancel":
                jobs.cancel_queued(job_id)
            else:
                jobs.finish(job_id, step)
        except ConflictError:
            assert jobs.get(job_id).state == state
        after = jobs.get(job_id).state
        assert after == state or after in TRANSITIONS[state]
        state = after


def test_an_ended_state_is_final():
    ended = ("succeeded", "failed", "cancelled", "interrupted")
    assert not any(after in TRANSITIONS[before] for before, after in product(ended, TRANSITIONS))
