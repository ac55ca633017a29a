"""What an audit says of one thing it measured: ok, flagged or cannot tell, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["ok", "flagged", "cannot tell"]

_WORST_FIRST: tuple[State, ...] = ("flagged", "cannot tell", "ok")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one measure.

    Attributes:
        check: Which part of the audit: `calibration`, `subgroups`, `shortcuts` or `consistency`.
        measure: What was measured, in words.
        state: What came out.
        reason: The figures behind it.
        advice: What to do about it; empty where all is well.
    """

    check: str
    measure: str
    state: State
    reason: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """All fields by name."""
        return asdict(self)


def worst(verdicts: Iterable[Verdict]) -> State:
    """The state that speaks for all: flagged if any is, ok only if every one is."""
    states = {verdict.state for verdict in verdicts}
    return next((state for state in _WORST_FIRST if state in states), "cannot tell")
