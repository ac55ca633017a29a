"""Whatever the PACS does, a stored annotation arrives there in the end, once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

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
        outbox = Outbox(store, pacs, first_wait_s=0.01, longest_wait_s=0.05)
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
    assert outbox.status() == {"pending": 0, "delivered": 5, "failed": 0, "called_off": 0, "last_error": None}


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
