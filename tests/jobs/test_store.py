"""The states of a job follow the table, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from carina.annotations.database import Database
from carina.errors import BusyError, ConflictError
from carina.jobs.states import TRANSITIONS
from carina.jobs.store import JobStore


def anywhere(job, running) -> str:
    return "cpu"


def nothing() -> None:
    pass


@pytest.fixture
def jobs(database_url):
    database = Database(database_url)
    database.create_tables()
    yield JobStore(database)
    database.close()


def test_jobs_are_claimed_in_the_order_they_were_asked_for_and_each_once(jobs):
    asked = [jobs.add("train", task=f"task{number}", request={}).id for number in range(12)]
    claimed = [jobs.claim_next(anywhere).id for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        claimed += [job.id for job in pool.map(lambda _: jobs.claim_next(anywhere), range(20)) if job is not None]
    assert claimed[:3] == asked[:3]
    assert sorted(claimed) == sorted(asked)
    assert jobs.claim_next(anywhere) is None


def test_a_job_without_a_place_is_passed_over_and_keeps_its_turn(jobs):
    first, second = (jobs.add("train", task=task, request={}) for task in ("one", "two"))
    claimed = jobs.claim_next(lambda job, running: None if job.task == "one" else "cuda:1")
    assert (claimed.id, claimed.slot, claimed.attempt) == (second.id, "cuda:1", 1)
    assert jobs.claim_next(lambda job, running: "cuda:0" if len(running) == 1 else None).id == first.id


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
    job = jobs.claim_next(anywhere)
    jobs.finish(job.id, "failed", error="It broke.")
    jobs.set_progress(job.id, progress=0.5, message="late")
    assert (jobs.get(job.id).progress, jobs.get(job.id).message) == (0.0, "It broke.")


def test_an_interrupted_job_is_queued_again_as_often_as_allowed_and_anew_after_a_person_resumed_it(jobs):
    job = jobs.add("train", task="thorax_ct", request={})
    cleared = []

    def interrupted() -> str:
        jobs.claim_next(anywhere)
        return jobs.interrupt(job.id, "It was killed.", retries=2, clear=lambda: cleared.append(1)).state

    assert [interrupted() for _ in range(3)] == ["queued", "queued", "interrupted"]
    assert (jobs.get(job.id).attempt, len(cleared)) == (3, 2)
    assert jobs.resume(job.id, clear=nothing).state == "queued"
    assert [interrupted() for _ in range(3)] == ["queued", "queued", "interrupted"]
    assert jobs.get(job.id).error == "It was killed."


def test_without_a_limit_an_interrupted_job_is_always_queued_again(jobs):
    job = jobs.add("train", task="thorax_ct", request={})
    for _ in range(5):
        jobs.claim_next(anywhere)
        assert jobs.interrupt(job.id, "The machine went down.", retries=None, clear=nothing).state == "queued"
    assert jobs.get(job.id).retries == 0


def test_a_resumed_job_comes_before_those_that_were_asked_for_later(jobs):
    first = jobs.add("train", task="one", request={})
    jobs.cancel_queued(first.id)
    jobs.add("train", task="two", request={})
    jobs.resume(first.id, clear=nothing)
    assert jobs.claim_next(anywhere).id == first.id


def test_of_eight_who_resume_at_once_one_does(jobs):
    job = jobs.add("train", task="one", request={})
    jobs.cancel_queued(job.id)

    def resume(_: int) -> bool:
        try:
            jobs.resume(job.id, clear=nothing)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(resume, range(8))) == 1


STEPS = ["claim", "cancel", "resume", "interrupt", "succeeded", "failed", "cancelled"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=strategies.lists(strategies.sampled_from(STEPS)))
def test_no_sequence_of_calls_reaches_a_state_the_table_does_not_allow(jobs, steps):
    job_id = jobs.add("train", task="thorax_ct", request={}, enqueue=True).id
    calls = {
        "claim": lambda: jobs.claim_next(lambda job, running: "cpu" if job.id == job_id else None),
        "cancel": lambda: jobs.cancel_queued(job_id),
        "resume": lambda: jobs.resume(job_id, clear=nothing),
        "interrupt": lambda: jobs.interrupt(job_id, "It was killed.", retries=0, clear=nothing),
    }
    state = "queued"
    for step in steps:
        try:
            calls.get(step, lambda step=step: jobs.finish(job_id, step))()
        except ConflictError:
            assert jobs.get(job_id).state == state
        after = jobs.get(job_id).state
        assert after == state or after in TRANSITIONS[state]
        state = after


def test_success_is_final_and_nothing_but_waiting_follows_another_end():
    assert TRANSITIONS["succeeded"] == frozenset()
    assert {TRANSITIONS[state] for state in ("failed", "cancelled", "interrupted")} == {frozenset({"queued"})}
