"""Cases move as the table says, in the transaction of the change, and leave a trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from carina.annotations.database import Database
from carina.annotations.files import LabelFiles
from carina.annotations.patients import PatientKeys
from carina.annotations.store import AnnotationStore
from carina.errors import ConflictError, InvalidInputError, StorageError, UnknownLabelError

from .conftest import NAMES

IMAGE, TASK = "1.2.3", "thorax_ct"


@pytest.fixture
def work(submit):
    """Submit for the one case of these tests."""
    return lambda user="anna", **more: submit(IMAGE, **{"task": TASK, "user": user, **more})


@pytest.fixture
def case(store):
    return lambda: store.cases.get(IMAGE, TASK)


def actions(store) -> list[str]:
    return [entry.action for entry in store.audit.of_image(IMAGE)]


def test_an_untouched_case_is_unlabelled_and_a_draft_a_submit_and_a_review_move_it(store, work, case):
    assert case().state == "unlabelled"
    store.note_draft(IMAGE, task=TASK, model_version="v3", user="anna", notes={"x": 1})
    assert case().state == "draft"
    version = work()
    assert (case().state, case().annotation_id, case().user) == ("submitted", version.id, "anna")
    store.cases.accept(IMAGE, TASK, user="rita", reason="fine")
    assert (case().state, case().user, case().reason) == ("accepted", "rita", "fine")
    assert actions(store) == ["draft", "submit", "accept"]
    draft, submitted, accepted = store.audit.of_image(IMAGE)
    assert draft.details == {"from": "unlabelled", "to": "draft", "origin": "automatic", "model_version": "v3"}
    assert (submitted.annotation_id, submitted.user, submitted.task) == (version.id, "anna", TASK)
    assert (accepted.details["from"], accepted.details["to"]) == ("submitted", "accepted")


def test_a_saved_draft_moves_the_case_to_draft_and_not_further(work, case):
    draft = work(tag="original", origin="automatic")
    assert (case().state, case().annotation_id) == ("draft", draft.id)


def test_a_label_on_accepted_work_is_stored_and_waits(store, work, case):
    first = work()
    store.cases.accept(IMAGE, TASK)
    second = work("bert")
    assert (case().state, case().annotation_id) == ("accepted", first.id)
    assert [version.id for version in store.versions(IMAGE)] == [first.id, second.id]
    assert [version.id for version in store.for_training()] == [first.id]
    store.cases.reopen(IMAGE, TASK)
    assert (case().state, case().annotation_id) == ("reopened", second.id)
    store.cases.accept(IMAGE, TASK)
    assert [version.id for version in store.for_training()] == [second.id]


def test_an_accepted_version_may_be_an_older_one_but_not_a_draft_a_withdrawn_or_another_case_s(store, work, case):
    draft, first, second = work(tag="original"), work(), work("bert")
    other = work(task="wholebody_ct")
    store.withdraw(second.id)
    for wrong in (draft, second, other):
        with pytest.raises(UnknownLabelError, match="this case"):
            store.cases.accept(IMAGE, TASK, annotation_id=wrong.id)
    with pytest.raises(UnknownLabelError, match="stored"):
        store.cases.accept(IMAGE, TASK, annotation_id="0" * 32)
    third = work("carl")
    assert store.cases.accept(IMAGE, TASK, annotation_id=first.id).annotation_id == first.id
    assert {version.id for version in store.for_training() if version.task == TASK} == {first.id}
    assert not store.get(third.id).withdrawn


def test_rejected_work_does_not_train_until_somebody_submits_again(store, work, case):
    first, second = work(), work("bert")
    store.cases.reject(IMAGE, TASK, user="rita", reason="sides swapped")
    assert store.for_training() == []
    third = work()
    assert case().state == "submitted"
    assert [version.id for version in store.for_training()] == [third.id]
    store.withdraw(third.id)
    assert (case().state, case().annotation_id) == ("rejected", second.id)
    assert store.for_training() == []
    assert [version.id for version in store.labelled("final")] == [first.id, second.id]


def test_a_rejection_taken_back_lets_the_version_train(store, work):
    version = work()
    store.cases.reject(IMAGE, TASK)
    store.cases.reopen(IMAGE, TASK)
    assert store.for_training() == []
    store.cases.accept(IMAGE, TASK)
    assert [found.id for found in store.for_training()] == [version.id]


def test_withdrawing_brings_back_the_state_of_before(store, work, case):
    draft, first, second = work(tag="original"), work(), work("bert")
    store.withdraw(first.id, user="anna")
    assert (case().state, case().annotation_id) == ("submitted", second.id)
    store.withdraw(second.id, user="bert", reason="wrong patient")
    assert (case().state, case().annotation_id) == ("draft", draft.id)
    store.withdraw(draft.id)
    assert (case().state, case().annotation_id) == ("unlabelled", None)
    store.withdraw(draft.id)
    assert actions(store).count("withdraw") == 3


def test_skipping_takes_a_reason_leaves_training_and_a_label_ends_it(store, work, case):
    with pytest.raises(InvalidInputError, match="reason"):
        store.cases.skip(IMAGE, TASK, reason=" ")
    store.cases.skip(IMAGE, TASK, user="anna", reason="motion")
    assert (case().state, case().reason) == ("skipped", "motion")
    work()
    assert (case().state, case().reason) == ("submitted", "")


def test_a_case_without_a_label_cannot_be_accepted(store):
    store.cases.skip(IMAGE, TASK, reason="motion")
    store.cases.reopen(IMAGE, TASK)
    with pytest.raises(ConflictError, match="label"):
        store.cases.accept(IMAGE, TASK)


def test_what_is_refused_leaves_no_trace(store, case):
    with pytest.raises(ConflictError, match="unlabelled"):
        store.cases.reject(IMAGE, TASK)
    assert case().state == "unlabelled"
    assert store.cases.list() == []
    assert store.audit.page() == []


def test_cases_of_two_tasks_on_one_image_are_apart(store, work):
    work(), work(task=None), work(task="wholebody_ct")
    store.cases.accept(IMAGE, TASK)
    assert {(case.task, case.state) for case in store.cases.of_image(IMAGE)} == {
        (TASK, "accepted"), ("", "submitted"), ("wholebody_ct", "submitted"),
    }  # fmt: skip
    with pytest.raises(InvalidInputError, match="thorax_ct, wholebody_ct"):
        store.cases.task_of(IMAGE, None)


def test_lists_by_state_and_task_and_by_the_page(store, submit):
    for number in range(5):
        submit(f"case{number}", task=TASK)
    store.cases.accept("case3", TASK)
    assert [case.image_id for case in store.cases.list(state="submitted", offset=1, limit=2)] == ["case1", "case2"]
    assert [case.image_id for case in store.cases.list(state="accepted", task=TASK)] == ["case3"]
    assert store.cases.list(task="none") == []
    assert store.cases.counts() == {**dict.fromkeys(store.cases.counts(), 0), "submitted": 4, "accepted": 1}


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused_and_a_real_one_is_kept(store, work, seconds):
    with pytest.raises(InvalidInputError, match="seconds"):
        work(time_spent_s=seconds)
    assert store.get(work(time_spent_s=754.5).id).time_spent_s == 754.5


class BrokenAtTheEnd(Database):
    """Fails when everything was written and only the commit is left."""

    def writing(self):
        from contextlib import contextmanager

        @contextmanager
        def failing():
            with super(BrokenAtTheEnd, self).writing() as session:
                yield session
                session.flush()
                raise StorageError("The database must be written, got OperationalError.")

        return failing()


def test_version_state_lease_and_trail_are_committed_together_or_not_at_all(settings, store, label):
    store.leases.take(IMAGE, "anna")
    before = store.audit.page()
    broken = BrokenAtTheEnd(settings.database_url)
    failing = AnnotationStore(broken, files=store.files, patients=store.patients)
    with pytest.raises(StorageError):
        failing.submit(IMAGE, label, names=NAMES, task=TASK, user="anna")
    broken.close()
    assert store.versions(IMAGE) == []
    assert store.cases.list() == []
    assert store.audit.page() == before
    assert [lease.holder for lease in store.leases.active()] == ["anna"]


def test_many_users_on_one_new_case_at_once_all_keep_their_work(database_url, tmp_path, label):
    database = Database(database_url)
    database.create_tables()
    store = AnnotationStore(database, files=LabelFiles(tmp_path / "files"), patients=PatientKeys(b"k" * 32))

    def one(number: int) -> str:
        if number % 3 == 0:
            store.note_draft(IMAGE, task=TASK, model_version="v1", user=f"u{number}", notes={f"draft:{number}": 1})
        return store.submit(IMAGE, label, names=NAMES, task=TASK, user=f"u{number}").id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(one, range(24)))

    assert {version.id for version in store.versions(IMAGE)} == made
    entries = store.audit.of_image(IMAGE)
    assert {entry.annotation_id for entry in entries if entry.action == "submit"} == made
    assert store.cases.get(IMAGE, TASK).state == "submitted"
    assert store.cases.get(IMAGE, TASK).annotation_id in made
    database.close()
