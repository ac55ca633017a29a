"""States of a case, the work on one image for one task: one table says what may follow what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from ..errors import ConflictError, InvalidInputError

State = Literal["unlabelled", "draft", "submitted", "accepted", "rejected", "reopened", "skipped"]
Action = Literal["draft", "submit", "accept", "reject", "skip", "reopen", "withdraw"]
STATES: tuple[State, ...] = get_args(State)
ACTIONS: tuple[Action, ...] = get_args(Action)
_ASKED_FOR: tuple[Action, ...] = ("submit", "accept", "reject", "skip", "reopen")
_NEEDS_REASON: frozenset[Action] = frozenset({"skip"})


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


# An action that a row lacks is refused. Drafts and submits are in every row, because nobody's work is turned away.
# Withdrawing leads to where the case stood before the version withdrawn; every other action leads to one state.
TRANSITIONS: Mapping[State, Mapping[Action, frozenset[State]]] = MappingProxyType(
    {
        "unlabelled": {
            "draft": _to("draft"),
            "submit": _to("submitted"),
            "skip": _to("skipped"),
        },
        "draft": {
            "draft": _to("draft"),
            "submit": _to("submitted"),
            "skip": _to("skipped"),
            "withdraw": _to("draft", "unlabelled"),
        },
        "submitted": {
            "draft": _to("submitted"),
            "submit": _to("submitted"),
            "accept": _to("accepted"),
            "reject": _to("rejected"),
            "reopen": _to("reopened"),
            "withdraw": _to("submitted", "rejected", "draft", "unlabelled"),
        },
        "accepted": {
            "draft": _to("accepted"),
            "submit": _to("accepted"),  # the version waits; what was accepted stays until somebody reopens the case
            "reopen": _to("reopened"),
            "withdraw": _to("submitted", "rejected", "draft", "unlabelled"),
        },
        "rejected": {
            "draft": _to("rejected"),
            "submit": _to("submitted"),
            "skip": _to("skipped"),
            "reopen": _to("reopened"),
            "withdraw": _to("rejected", "draft", "unlabelled"),
        },
        "reopened": {
            "draft": _to("reopened"),
            "submit": _to("submitted"),
            "accept": _to("accepted"),
            "skip": _to("skipped"),
            "withdraw": _to("reopened", "draft", "unlabelled"),
        },
        "skipped": {
            "draft": _to("skipped"),
            "submit": _to("submitted"),
            "reopen": _to("reopened"),
            "withdraw": _to("skipped"),
        },
    }
)


def check_state(text: str) -> State:
    """A state's name from outside.

    Raises:
        InvalidInputError: If it is none.
    """
    if text not in STATES:
        raise InvalidInputError(f"A state must be one of {', '.join(STATES)}, got '{text[:32]}'.")
    return text


def check_reason(action: Action, reason: str) -> str:
    """The reason of an action, without the spaces around it.

    Raises:
        InvalidInputError: If the action needs one and got none.
    """
    reason = reason.strip()
    if needs_reason(action) and not reason:
        raise InvalidInputError(f"To {action} a case must have a reason, got none. Say why in a few words.")
    return reason


def possible(state: State) -> tuple[Action, ...]:
    """What a person may ask for in a state."""
    return tuple(each for each in _ASKED_FOR if each in TRANSITIONS[state])


def needs_reason(action: Action) -> bool:
    """Whether an action is refused without a reason."""
    return action in _NEEDS_REASON


def targets(state: State, action: Action) -> frozenset[State]:
    """The states an action may lead to from a state.

    Raises:
        ConflictError: If the table has no such transition; the message names what is possible.
    """
    found = TRANSITIONS[state].get(action)
    if found is None:
        fitting = " or ".join(each for each in STATES if action in TRANSITIONS[each])
        raise ConflictError(
            f"To {action} a case it must be {fitting}, got one that is {state}. "
            f"Possible now: {', '.join(possible(state))}."
        )
    return found
