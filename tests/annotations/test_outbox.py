"""Whatever the PACS does, a stored annotation arrives there in the end, once."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from filelock import FileLock

from carina.annotations.database import utc_now
from carina.annotations.outbox import Outbox, wait_after
from carina.errors import DicomError, MissingDependencyError, PacsError, PacsTimeoutError, UnknownLabelError


class FakePacs:
    """Keeps one object per SOP Instance UID; fails as often as it is told to."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or PacsError("The PACS must take the SEG, got status 500.")
        self.objects: dict[str, str] = {}
        self.stored = 0
        self.calls = 0

    def __call__(self, annotation, delivery):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        self.stored += 1
        self.objects[delivery.sop_instance_uid] = annotation.id


@pytest.fixture
def outbox_to(store):
    opened = []

    def make(pacs):
        outbox = Outbox(store, pacs, first_wait_s=0.01, longest_wait_s=0.05, stand_by_s=0.2)
        opened.append(outbox)
        outbox.start()
        return outbox

    yield make
    for outbox in opened:
        outbox.stop()


def test_brings_everything_submitted_to_the_pacs_exactly_once(store, submit, outbox_to):
    annotations = [submit() for _ in range(5)]
    pacs = FakePacs()
    outbox = outbox_to(pacs)

    assert outbox.flush(timeout_s=30)

    assert sorted(pacs.objects.values()) == sorted(annotation.id for annotation in annotations)
    assert pacs.stored == 5
    assert outbox.status() == {
        "pending": 0, "delivered": 5, "failed": 0, "called_off": 0, "last_error": None, "oldest_waiting_s": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "error", [PacsError("down"), PacsTimeoutError("slow"), ConnectionResetError("gone"), ZeroDivisionError("a bug")]
)
def test_tries_again_until_the_pacs_takes_it_and_then_no_more(store, submit, outbox_to, error):
    annotation = submit()
    pacs = FakePacs(failures=4, error=error)
    outbox = outbox_to(pacs)

    assert outbox.flush(timeout_s=30)

    delivery = store.deliveries.get(annotation.id)
    assert (delivery.state, delivery.attempts, pacs.stored) == ("delivered", 5, 1)
    assert delivery.delivered_at is not None
    assert delivery.last_error is None


def test_uids_are_fixed_at_submit_and_differ_between_versions(store, submit):
    first, second = submit(), submit()
    before = store.deliveries.get(first.id)
    store.deliveries.mark_retry(first.id, error="down", after_s=0)
    after = store.deliveries.get(first.id)

    assert (before.sop_instance_uid, before.series_instance_uid) == (after.sop_instance_uid, after.series_instance_uid)
    uids = {before.sop_instance_uid, before.series_instance_uid}
    other = store.deliveries.get(second.id)
    assert not uids & {other.sop_instance_uid, other.series_instance_uid}
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


@pytest.mark.parametrize(("failures", "expected"), [(0, 10), (1, 20), (2, 40), (3, 60), (100_000, 60)])
def test_waits_longer_after_each_failure_but_not_for_ever(failures, expected):
    wait_s = wait_after(failures, first_s=10, longest_s=60)
    assert 0.8 * expected <= wait_s <= expected


def test_a_waiting_delivery_is_not_due_before_its_time(store, submit):
    annotation = submit()
    store.deliveries.mark_retry(annotation.id, error="down", after_s=3600)
    assert store.deliveries.due(utc_now()) == []
    assert [delivery.annotation_id for delivery in store.deliveries.due(utc_now() + timedelta(hours=2))] == [
        annotation.id
    ]


def test_what_a_person_must_settle_is_not_tried_again_until_asked(store, submit, outbox_to):
    annotation = submit()
    pacs = FakePacs(failures=1, error=DicomError("The series must have one orientation, got two."))
    outbox = outbox_to(pacs)
    assert outbox.flush(timeout_s=30)

    assert pacs.calls == 1
    assert store.deliveries.get(annotation.id).state == "failed"
    assert outbox.status()["last_error"] == "The series must have one orientation, got two."

    assert store.deliveries.retry_failed() == 1
    assert outbox.flush(timeout_s=30)
    assert store.deliveries.get(annotation.id).state == "delivered"


def test_one_annotation_that_cannot_be_delivered_does_not_hold_up_the_others(store, submit, outbox_to):
    bad = submit("bad")
    good = submit("good")

    def deliver(annotation, delivery):
        if annotation.image_id == "bad":
            raise MissingDependencyError("no DICOM series")

    assert outbox_to(deliver).flush(timeout_s=30)
    assert store.deliveries.get(good.id).state == "delivered"
    assert store.deliveries.get(bad.id).state == "failed"


def test_labels_that_fail_again_and_again_wait_behind_a_new_one(store, submit):
    for _ in range(20):
        store.deliveries.mark_retry(submit("bad").id, error="refused", after_s=-60)
    new = submit("good")
    assert store.deliveries.due(utc_now())[0].annotation_id == new.id


def test_status_tells_how_long_the_oldest_label_has_been_waiting(store, submit):
    assert store.deliveries.status()["oldest_waiting_s"] is None
    first, second = submit(), submit()
    assert store.deliveries.status()["oldest_waiting_s"] >= (utc_now() - second.created).total_seconds()
    store.deliveries.mark_failed(first.id, error="no series")
    store.deliveries.mark_delivered(second.id)
    status = store.deliveries.status()
    assert (status["failed"], status["last_error"]) == (1, "no series")
    assert status["oldest_waiting_s"] > 0


def test_the_newest_deliveries_are_listed_first_and_by_state(store, submit):
    first, second, third = submit(), submit(), submit()
    store.deliveries.mark_failed(second.id, error="no series")
    newest = store.deliveries.newest()
    assert [delivery.annotation_id for delivery in newest] == [third.id, second.id, first.id]
    failed = store.deliveries.newest(states=["failed"])
    assert [delivery.annotation_id for delivery in failed] == [second.id]
    assert len(store.deliveries.newest(limit=2)) == 2


def test_retrying_one_leaves_the_others_and_what_has_arrived_alone(store, submit):
    failed, other, arrived = submit(), submit(), submit()
    for annotation in (failed, other):
        store.deliveries.mark_failed(annotation.id, error="no series")
    store.deliveries.mark_delivered(arrived.id)
    assert store.deliveries.retry(failed.id).state == "pending"
    assert store.deliveries.retry(arrived.id).state == "delivered"
    assert store.deliveries.get(other.id).state == "failed"
    assert [delivery.annotation_id for delivery in store.deliveries.due(utc_now())] == [failed.id]


def test_retrying_all_takes_up_what_failed_and_ends_every_wait(store, submit):
    failed, waiting = submit(), submit()
    store.deliveries.mark_failed(failed.id, error="no series")
    store.deliveries.mark_retry(waiting.id, error="down", after_s=3600)
    assert store.deliveries.retry_all() == 2
    due = {delivery.annotation_id for delivery in store.deliveries.due(utc_now())}
    assert due == {failed.id, waiting.id}


def test_a_standing_by_outbox_does_not_spin_when_it_is_woken(store, submit, outbox_to, caplog):
    store.files.folder.mkdir(parents=True)
    with FileLock(store.files.folder / ".outbox.lock"):
        outbox = outbox_to(FakePacs())
        caplog.set_level(logging.DEBUG, logger="filelock")
        outbox.wake()
        time.sleep(1.0)
        outbox.stop()
    attempts = [record for record in caplog.records if "Attempting to acquire" in record.getMessage()]
    assert len(attempts) < 20


class _FailsOnce:
    """Deliveries whose first look at what is due ends in an error nobody thought of."""

    def __init__(self, real) -> None:
        self._real = real
        self._failed = False

    def due(self, now):
        if not self._failed:
            self._failed = True
            raise RuntimeError("a bug")
        return self._real.due(now)

    def __getattr__(self, name):
        return getattr(self._real, name)


def test_an_error_nobody_thought_of_does_not_end_the_outbox(store, submit, outbox_to):
    submit()
    store.deliveries = _FailsOnce(store.deliveries)
    pacs = FakePacs()
    assert outbox_to(pacs).flush(timeout_s=30)
    assert pacs.stored == 1


def test_a_drafted_version_that_is_not_to_be_delivered_has_no_delivery(store, submit):
    annotation = submit(deliver=False)
    with pytest.raises(UnknownLabelError):
        store.deliveries.get(annotation.id)


def test_a_withdrawn_annotation_is_not_delivered(store, submit, outbox_to):
    store.withdraw(submit().id)
    pacs = FakePacs()
    assert outbox_to(pacs).flush(timeout_s=30)
    assert pacs.calls == 0


def test_a_version_withdrawn_while_it_was_on_its_way_is_noted_as_delivered(store, submit):
    annotation = submit()
    store.withdraw(annotation.id)
    store.deliveries.mark_delivered(annotation.id)
    assert store.deliveries.get(annotation.id).state == "delivered"


def test_a_new_outbox_goes_on_where_a_stopped_one_left_off(store, submit, outbox_to):
    submit()
    down = outbox_to(FakePacs(failures=10**9))
    assert not down.flush(timeout_s=0.2)
    down.stop()

    pacs = FakePacs()
    assert outbox_to(pacs).flush(timeout_s=30)
    assert pacs.stored == 1


def test_two_outboxes_on_one_store_deliver_once(store, submit, outbox_to):
    for _ in range(10):
        submit()
    lock, delivered = threading.Lock(), []

    def deliver(annotation, delivery):
        with lock:
            delivered.append(annotation.id)

    first, second = outbox_to(deliver), outbox_to(deliver)
    assert first.flush(timeout_s=30)
    assert second.flush(timeout_s=30)
    assert len(delivered) == len(set(delivered)) == 10


def test_a_submit_wakes_the_outbox(store, submit, outbox_to):
    arrived = threading.Event()
    outbox = outbox_to(lambda annotation, delivery: arrived.set())
    submit()
    outbox.wake()
    assert arrived.wait(30)


_KILLED_WHILE_DELIVERING = """
import os, signal, sys, time
from pathlib import Path
from carina.annotations.outbox import Outbox
from carina.annotations.store import open_annotations
from carina.settings import Settings

def deliver(annotation, delivery):
    Path(sys.argv[2]).write_text(delivery.sop_instance_uid)
    os.kill(os.getpid(), signal.SIGKILL)

Outbox(open_annotations(Settings(home=Path(sys.argv[1]))), deliver).start()
time.sleep(60)
"""


def test_a_kill_between_the_pacs_and_the_row_repeats_the_same_object(settings, store, submit, outbox_to, tmp_path):
    annotation = submit()
    seen = tmp_path / "uid"
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_DELIVERING, str(settings.home), str(seen)], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert store.deliveries.get(annotation.id).state == "pending"

    pacs = FakePacs()
    assert outbox_to(pacs).flush(timeout_s=30)
    assert pacs.objects == {seen.read_text(): annotation.id}


def test_a_label_map_is_to_become_a_seg(store, submit):
    assert store.deliveries.get(submit().id).document == "SEG"
    assert [delivery.document for delivery in store.deliveries.newest()] == ["SEG"]
