"""Two users on one case: both keep their work, and the history tells who did what."""

from __future__ import annotations

import numpy as np
import pytest

from carina.annotations.audit import record_delivery
from carina.annotations.history import history
from carina.annotations.tables import AnnotationRow, AuditRow
from carina.geometry import Volume

TASK = "thorax_ct"


@pytest.fixture
def two_readers(store, submit, label):
    """Anna corrects a model's draft, Bert takes nine voxels away from hers."""
    store.note_draft("a", task=TASK, model_version="v3", user="anna", notes={})
    corrected = label.array.copy()
    corrected[1:4, 2:5, 1] = 0
    first = submit("a", task=TASK, user="anna", model_version="v3", origin="semiautomatic", time_spent_s=300)
    second = submit("a", task=TASK, user="bert", label=Volume(corrected, label.grid), time_spent_s=95.5)
    return first, second, corrected


def test_both_versions_are_retrievable(store, two_readers, label):
    first, second, corrected = two_readers
    np.testing.assert_array_equal(store.read(store.get(first.id))[0].array, label.array)
    np.testing.assert_array_equal(store.read(store.get(second.id))[0].array, corrected)


def test_the_history_tells_who_when_from_which_model_how_much_and_where_it_is(store, two_readers, label):
    first, second, corrected = two_readers
    store.cases.accept("a", TASK, user="rita", reason="fine")
    store.deliveries.mark_delivered(second.id)

    draft, one, two, accepted, arrived = history(store, "a")

    assert (draft.action, draft.who, draft.to_json()["model_version"]) == ("draft", "anna", "v3")
    assert (one.who, one.version.model_version, one.version.time_spent_s) == ("anna", "v3", 300)
    assert one.details["from"] == "draft"
    assert (two.who, two.version.parent) == ("bert", first.id)
    assert two.to_json()["voxels_changed"] == np.count_nonzero(corrected != label.array) == 9
    assert (one.delivery, two.delivery) == ("pending", "delivered")
    assert (accepted.action, accepted.who, accepted.details["reason"]) == ("accept", "rita", "fine")
    assert (arrived.action, arrived.version.id, arrived.details) == ("delivery", second.id, {"state": "delivered"})
    assert [event.when for event in history(store, "a")] == sorted(event.when for event in history(store, "a"))


def test_withdrawals_leases_and_notes_are_told_without_what_the_notes_say(store, two_readers):
    first, second, _ = two_readers
    store.leases.take("a", "carl")
    store.update_label_info(first.id, {"comment": "seen"}, user="rita")
    store.withdraw(second.id, user="bert", reason="wrong patient")
    *_, lease, note, withdrawal, called_off = history(store, "a")
    assert (lease.action, lease.who) == ("lease", "carl")
    assert (note.action, note.who, dict(note.details)) == ("note", "rita", {"keys": ["comment"]})
    assert (withdrawal.action, withdrawal.version.withdrawn) == ("withdraw", True)
    assert withdrawal.details == {"from": "submitted", "to": "submitted", "reason": "wrong patient"}
    assert (called_off.action, called_off.details) == ("delivery", {"state": "called_off"})


def test_a_delivery_can_be_told_in_the_transaction_that_settles_it(store, two_readers):
    _, second, _ = two_readers
    with store.database.writing() as session:
        record_delivery(session, second.id, state="failed", error="The PACS refused it.")
    told = history(store, "a")[-1]
    assert (told.action, told.task, told.version.id) == ("delivery", TASK, second.id)
    assert told.details == {"state": "failed", "error": "The PACS refused it."}


def test_versions_from_before_there_was_a_trail_have_their_line(store, submit, label):
    made = submit("a", task=TASK, user="anna")
    with store.database.writing() as session:
        old = session.query(AnnotationRow).one()
        values = {
            column.name: getattr(old, column.name) for column in AnnotationRow.__table__.columns
        } | {"sequence": None, "id": "0" * 32, "author": "zoe"}  # fmt: skip
        session.add(AnnotationRow(**values))
    assert [(event.action, event.who) for event in history(store, "a")] == [("submit", "zoe"), ("submit", "anna")]
    assert history(store, "a")[1].version.id == made.id


def test_the_trail_comes_by_the_page_for_one_image_and_for_all(store, submit):
    for number in range(6):
        submit(("a", "b")[number % 2])
    pages, after = [], 0
    while page := store.audit.page(after=after, limit=4):
        pages.append(page)
        after = page[-1].sequence
    entries = [entry for page in pages for entry in page]
    with store.database.reading() as session:
        assert [entry.sequence for entry in entries] == [row.sequence for row in session.query(AuditRow)]
    assert [len(page) for page in pages] == [4, 2]
    assert {entry.image_id for entry in store.audit.page(image_id="b")} == {"b"}
    assert store.audit.of_image("c") == []
