"""The table of states, and what it says when it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from carina.annotations.states import ACTIONS, STATES, TRANSITIONS, check_reason, check_state, targets
from carina.errors import ConflictError, InvalidInputError


def test_the_table_has_a_row_for_every_state_and_leads_to_known_ones_only():
    assert set(TRANSITIONS) == set(STATES)
    for row in TRANSITIONS.values():
        assert set(row) <= set(ACTIONS)
        assert all(leads and leads <= set(STATES) for leads in row.values())


def test_a_label_and_a_draft_are_refused_in_no_state():
    assert all({"submit", "draft"} <= set(row) for row in TRANSITIONS.values())


def test_only_a_withdrawal_has_several_ends():
    assert all(len(row[action]) == 1 for row in TRANSITIONS.values() for action in row if action != "withdraw")


def test_the_documented_table_is_the_table():
    lines = (Path(__file__).parents[2] / "docs" / "annotations.md").read_text().splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    columns = next(row for row in rows if row[0].startswith("a case that is"))[1:]
    documented = {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows if row[0] in STATES}
    assert documented == {
        state: {action: "".join(TRANSITIONS[state].get(action, ["–"])) for action in columns} for state in STATES
    }
    assert set(columns) == set(ACTIONS) - {"withdraw"}


def test_every_state_can_be_reached_from_the_first():
    reached, new = {"unlabelled"}, {"unlabelled"}
    while new:
        new = {state for old in new for leads in TRANSITIONS[old].values() for state in leads} - reached
        reached |= new
    assert reached == set(STATES)


@pytest.mark.parametrize(
    ("start", "actions", "end"),
    [
        ("unlabelled", ["draft", "submit", "accept", "reopen", "submit", "reject", "submit"], "submitted"),
        ("unlabelled", ["submit", "reject", "reopen", "accept"], "accepted"),
        ("unlabelled", ["skip", "reopen", "submit"], "submitted"),
        ("accepted", ["submit", "draft"], "accepted"),
        ("submitted", ["draft"], "submitted"),
    ],
)
def test_work_goes_its_usual_ways(start, actions, end):
    state = start
    for action in actions:
        (state,) = targets(state, action)
    assert state == end


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ("unlabelled", "accept"),
        ("draft", "reject"),
        ("submitted", "skip"),
        ("accepted", "reject"),
        ("rejected", "accept"),
        ("skipped", "skip"),
        ("draft", "reopen"),
    ],
)
def test_what_the_table_lacks_is_refused_with_the_state_and_what_is_possible(state, action):
    with pytest.raises(ConflictError) as refused:
        targets(state, action)
    said = str(refused.value)
    assert f"got one that is {state}" in said
    assert all(each in said for each in TRANSITIONS[state] if each not in ("draft", "withdraw"))


def test_to_skip_a_case_takes_a_reason():
    assert check_reason("skip", " motion ") == "motion"
    assert check_reason("accept", "") == ""
    with pytest.raises(InvalidInputError, match="reason"):
        check_reason("skip", "  ")


def test_names_of_states_from_outside_are_checked():
    assert check_state("draft") == "draft"
    with pytest.raises(InvalidInputError, match="done"):
        check_state("done")
