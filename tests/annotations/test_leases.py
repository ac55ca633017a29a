"""An image is in one pair of hands, whoever asks at the same moment, from whichever process."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

from carina.annotations.database import Database
from carina.annotations.leases import LeaseTable
from carina.annotations.store import open_annotations
from carina.annotations.worklist import Wanted, Worklist
from carina.errors import ConflictError, InvalidInputError, UnsafeIdError

POOL = [f"case{number:02}" for number in range(12)]


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.create_tables()
    yield opened
    opened.close()


def actions(store) -> list[tuple[str, str | None]]:
    return [(entry.action, entry.user) for entry in store.audit.page()]


def test_a_leased_image_is_refused_to_others_until_it_is_released(store):
    store.leases.take("a", "anna")
    with pytest.raises(ConflictError, match="leased by 'anna'"):
        store.leases.take("a", "bert")
    with pytest.raises(ConflictError, match="leased by 'anna'"):
        store.leases.release("a", "bert")
    assert store.leases.release("a", "anna") is True
    assert store.leases.release("a", "anna") is False
    assert store.leases.take("a", "bert").holder == "bert"
    assert actions(store) == [("lease", "anna"), ("release", "anna"), ("lease", "bert")]


def test_a_lease_that_ran_out_goes_to_the_next_and_the_trail_says_so(store):
    run_out = LeaseTable(store.database, duration_s=0)
    run_out.take("a", "anna")
    assert store.leases.active() == []
    assert store.leases.take("a", "bert").holder == "bert"
    assert actions(store) == [("lease", "anna"), ("expire", "anna"), ("lease", "bert")]
    with pytest.raises(ConflictError, match="Take it again"):
        store.leases.renew("a", "anna")


def test_renewing_moves_the_end_only(store):
    short = LeaseTable(store.database, duration_s=60)
    before = short.take("a", "anna")
    for after in (store.leases.renew("a", "anna"), store.leases.take("a", "anna")):
        assert after.taken == before.taken
        assert after.expires > before.expires
    assert actions(store) == [("lease", "anna")]


def test_anybody_s_lease_can_be_released_for_a_reader_who_left(store):
    store.leases.take("a", "anna")
    assert store.leases.release("a", None, by="rita")
    (_, released) = store.audit.page()
    assert (released.user, released.details) == ("rita", {"holder": "anna"})


def test_submitting_or_skipping_releases_one_s_own_lease_and_nobody_else_s(store, submit):
    store.leases.take("a", "anna")
    store.leases.take("b", "anna")
    submit("a", user="bert")
    store.cases.skip("b", None, user="bert", reason="motion")
    submit("a", user=None)
    submit("a", user="anna", tag="original")
    assert [lease.image_id for lease in store.leases.active()] == ["a", "b"]
    submit("a", user="anna")
    store.cases.reopen("b", None)
    store.cases.skip("b", None, user="anna", reason="motion")
    assert store.leases.active() == []


def test_lists_those_taken_first_in_front_and_by_holder(store):
    for image_id, holder in (("c", "anna"), ("a", "bert"), ("b", "anna")):
        store.leases.take(image_id, holder)
    assert [lease.image_id for lease in store.leases.active()] == ["c", "a", "b"]
    assert [lease.image_id for lease in store.leases.active(holder="anna")] == ["c", "b"]


def test_a_lease_needs_a_holder_and_a_safe_id(store):
    with pytest.raises(InvalidInputError, match="user"):
        store.leases.take("a", "")
    with pytest.raises(UnsafeIdError):
        store.leases.take("../a", "anna")


def test_leases_outlive_the_process(settings, store):
    store.leases.take("a", "anna")
    other = open_annotations(settings)
    with pytest.raises(ConflictError):
        other.leases.take("a", "bert")
    assert other.leases.take("a", "anna").holder == "anna"
    other.close()


def take_all(database: Database, holder: str) -> list[str]:
    """Every image of the pool that is still to be had, one after the other."""
    worklist = Worklist(database, lease_s=600)
    wanted, note = Wanted(tag="final"), {"ts": 7, "client_id": holder}
    return [
        image_id for image_id in POOL if worklist.hand_out(image_id, wanted, strategy="first", holder=holder, note=note)
    ]


def test_many_threads_on_one_pool_get_each_image_once(database):
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda number: take_all(database, f"user{number}"), range(16)))
    handed = [image_id for images in got for image_id in images]
    assert sorted(handed) == POOL
    leases = {lease.image_id: lease.holder for lease in LeaseTable(database).active()}
    assert leases == {image_id: f"user{number}" for number, images in enumerate(got) for image_id in images}
    outlook = Worklist(database, lease_s=600).look(Wanted(tag="final"), strategy="first")
    assert outlook.holders == leases
    assert outlook.offered == dict.fromkeys(POOL, 7.0)


def take_all_in_a_process(url: str, holder: str, answers) -> None:
    database = Database(url)
    answers.put(take_all(database, holder))
    database.close()


def test_several_processes_on_one_pool_get_each_image_once(database_url, database):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    others = [
        context.Process(target=take_all_in_a_process, args=(database_url, f"user{number}", answers))
        for number in range(4)
    ]
    for other in others:
        other.start()
    handed = [image_id for _ in others for image_id in answers.get(timeout=120)]
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0, 0]
    assert sorted(handed) == POOL
