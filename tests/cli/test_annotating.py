from __future__ import annotations

import numpy as np
import pytest

from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_findings
from carina.geometry import Grid, Volume
from carina.registry import find_tasks
from carina.settings import Settings

GRID = Grid((4, 3, 2), np.diag([1.0, -2.0, 3.0, 1.0]))
TASK = "thorax_ct"


@pytest.fixture
def store(carina_home):
    opened = open_annotations(Settings())
    yield opened
    opened.close()


@pytest.fixture
def submit(store):
    def call(user, image="case-a", *, voxels=6, **more):
        array = np.zeros(GRID.shape, np.uint8)
        array.flat[:voxels] = 1
        return store.submit(image, Volume(array, GRID), names={"heart": 1}, **{"task": TASK, "user": user, **more})

    return call


def test_log_tells_two_readers_work_on_one_case(carina, store, submit):
    store.note_draft("case-a", task=TASK, model_version="v3", user="anna", notes={})
    first = submit("anna", model_version="v3", time_spent_s=300)
    second = submit("bert", voxels=2)
    carina("annotations", "accept", "case-a", "--by", "rita", "--reason", "fine")

    told = carina("annotations", "log", "case-a", "--json").json

    assert [(event["action"], event["who"]) for event in told["events"]] == [
        ("draft", "anna"), ("submit", "anna"), ("submit", "bert"), ("accept", "rita"),
    ]  # fmt: skip
    _, one, two, _ = told["events"]
    assert (one["annotation"], one["model_version"], one["time_spent_s"]) == (first.id, "v3", 300)
    assert (two["annotation"], two["voxels_changed"], two["delivery"]) == (second.id, 4, "pending")
    assert told["cases"][0]["state"] == "accepted"
    shown = carina("annotations", "log", "case-a").stdout
    for word in (
        "bert",
        "v3",
        "5.0 min",
        "unlabelled → draft",
        "submitted → accepted: fine",
        "SEG",
        "pending",
        second.id[:8],
    ):
        assert word in shown


def test_log_tells_of_findings_and_of_their_report(carina, store):
    answers = {"edema": True, "mass": None}
    submit_findings(store, image_id="case-a", findings=answers, spec=find_tasks().get("cxr_findings"), user="anna")
    (event,) = carina("annotations", "log", "case-a", "--json").json["events"]
    assert (event["findings"], event["document"], event["delivery"]) == (answers, "SR", "pending")
    assert event["voxels_changed"] is None
    (delivery,) = carina("deliveries", "list", "--json").json["deliveries"]
    assert (delivery["document"], delivery["state"]) == ("SR", "pending")
    assert "SR" in carina("deliveries", "list").stdout


def test_an_image_nobody_worked_on_is_an_error(carina, store):
    ran = carina("annotations", "log", "case-z", "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownLabelError")


def test_a_case_is_rejected_reopened_skipped_and_listed(carina, submit):
    submit("anna"), submit("anna", "case-b")
    assert carina("annotations", "reject", "case-a", "--reason", "swapped", "--json").json["state"] == "rejected"
    assert carina("annotations", "reopen", "case-a", "--json").json["state"] == "reopened"
    skipped = carina("annotations", "skip", "case-a", "--task", TASK, "--reason", "motion", "--by", "anna", "--json")
    assert (skipped.json["state"], skipped.json["user"]) == ("skipped", "anna")
    listed = carina("annotations", "list", "--state", "submitted", "--json").json
    assert [case["image_id"] for case in listed["cases"]] == ["case-b"]
    assert listed["counts"]["skipped"] == 1
    assert "1 submitted, 1 skipped" in carina("annotations", "list").stdout


def test_what_is_not_allowed_says_what_is_possible(carina, submit):
    submit("anna")
    ran = carina("annotations", "skip", "case-a", "--task", TASK, "--reason", "motion")
    assert ran.exit_code == 1
    assert "submitted" in ran.stderr
    assert "accept, reject, reopen" in ran.stderr
    assert carina("annotations", "list", "--state", "done", "--json").json["error"] == "InvalidInputError"


def test_several_tasks_need_a_name(carina, submit):
    submit("anna"), submit("anna", task="wholebody_ct")
    ran = carina("annotations", "accept", "case-a", "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "InvalidInputError")
    assert carina("annotations", "accept", "case-a", "--task", TASK, "--json").json["task"] == TASK


def test_a_consensus_is_made_and_accepted(carina, store, submit):
    submit("anna"), submit("bert", voxels=2)
    made = carina("annotations", "consensus", "case-a", "--method", "majority", "--by", "rita", "--json").json
    assert (made["tag"], sorted(made["readers"])) == ("consensus", ["anna", "bert"])
    assert np.count_nonzero(store.read(store.get(made["annotation"]))[0].array) == 2
    accepted = carina("annotations", "accept", "case-a", "--annotation", made["annotation"], "--json").json
    assert accepted["annotation_id"] == made["annotation"]
    assert carina("annotations", "consensus", "case-b", "--json").json["error"] == "ConflictError"


def test_leases_are_shown_and_given_back(carina, store):
    store.leases.take("case-a", "anna")
    assert carina("annotations", "leases", "--json").json["leases"][0]["holder"] == "anna"
    assert "anna" in carina("annotations", "leases").stdout
    released = carina("annotations", "leases", "--release", "case-a", "--by", "rita", "--json").json
    assert released == {"leases": [], "released": True}
