"""What is left to label."""

from __future__ import annotations

import pytest

from carina.annotations.worklist import Wanted
from carina.errors import UnsafeIdError

FINAL = Wanted(tag="final")
THORAX = Wanted(tag="final", task="thorax_ct")


def closed(store, wanted=FINAL) -> set[str]:
    return set(store.worklist.look(wanted, strategy="first").closed)


def hand_out(store, image_id, *, holder, wanted=FINAL, strategy="first", ts=7) -> bool:
    return store.worklist.hand_out(image_id, wanted, strategy=strategy, holder=holder, note={"ts": ts})


def test_submitted_and_accepted_work_is_closed_and_what_was_turned_down_is_not(store, submit):
    for image_id in ("submitted", "accepted", "rejected", "reopened"):
        submit(image_id, task="thorax_ct")
    submit("draft", task="thorax_ct", tag="original")
    store.cases.accept("accepted", "thorax_ct")
    store.cases.accept("reopened", "thorax_ct")
    store.cases.reopen("reopened", "thorax_ct")
    store.cases.reject("rejected", "thorax_ct")
    for wanted in (FINAL, THORAX):
        assert closed(store, wanted) == {"submitted", "accepted"}


def test_a_withdrawn_label_opens_its_image_again(store, submit):
    store.withdraw(submit("a").id)
    assert closed(store) == set()


def test_for_a_named_task_labels_and_skips_of_others_do_not_count(store, submit):
    submit("a", task="wholebody_ct")
    store.cases.skip("b", "wholebody_ct", reason="motion")
    store.cases.skip("c", "thorax_ct", reason="motion")
    store.cases.skip("d", None, reason="a scout view")
    assert closed(store) == {"a", "b", "c", "d"}
    assert closed(store, THORAX) == {"c", "d"}


def test_another_sort_of_label_has_its_own_list(store, submit):
    submit("a", tag="second")
    assert closed(store) == set()
    assert closed(store, Wanted(tag="second")) == {"a"}


def test_handing_out_leases_the_image_and_notes_when(store):
    assert hand_out(store, "a", holder="anna", ts=7)
    assert hand_out(store, "a", holder="anna", strategy="random", ts=9)
    outlook = store.worklist.look(FINAL, strategy="first")
    assert outlook.holders == {"a": "anna"}
    assert outlook.offered == {"a": 7.0}
    assert store.worklist.look(FINAL, strategy="random").offered == {"a": 9.0}


def test_what_another_holds_or_has_labelled_is_not_handed_out_and_leaves_nothing(store, submit):
    assert hand_out(store, "a", holder="anna")
    submit("b", user="anna")
    trail = store.audit.page()
    for holder in ("bert", None):
        assert not hand_out(store, "a", holder=holder)
        assert not hand_out(store, "b", holder=holder)
    assert store.audit.page() == trail
    assert [lease.image_id for lease in store.leases.active()] == ["a"]


def test_a_client_without_a_name_gets_an_image_and_holds_nothing(store):
    assert hand_out(store, "a", holder=None)
    assert store.leases.active() == []
    assert hand_out(store, "a", holder="bert")


@pytest.mark.parametrize("foreign", ["text", {"first": "text"}, {"first": {"ts": "soon"}}, {"first": {"ts": None}}])
def test_a_note_in_another_form_does_not_stand_in_the_way(store, foreign):
    store.update_image_info("a", {"strategy": foreign})
    assert store.worklist.look(FINAL, strategy="first").offered.get("a", 0.0) == 0.0
    assert hand_out(store, "a", holder="anna")
    assert store.image_info("a")["strategy"]["first"] == {"ts": 7}


def test_an_unsafe_id_is_refused(store):
    with pytest.raises(UnsafeIdError):
        hand_out(store, "../a", holder="anna")
