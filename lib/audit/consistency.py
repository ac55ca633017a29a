"""Whether answers stay when an image is changed so little that no reader would change theirs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..models.intervals import Interval
from .column import Column, spread
from .verdicts import Verdict

_LARGEST_SHARE = 0.05
_LEAST_IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """Under one small change.

    Attributes:
        change: Its name.
        answers_changed: Share of the images whose answer is another one.
        mean_move: Mean distance that the probability moved.
    """

    change: str
    answers_changed: Interval
    mean_move: float

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def consistency(column: Column) -> tuple[list[Steadiness], Verdict]:
    """Every small change, and the verdict on the worst."""
    measured = [
        Steadiness(change=name, answers_changed=column.answers_changed(name), mean_move=column.mean_move(name))
        for name in column.perturbed
    ]
    worst = max(measured, key=lambda one: (one.answers_changed.mean or 0.0, one.mean_move))
    reason = (
        f"At worst ({worst.change}) {spread(worst.answers_changed)} of the answers change, "
        f"probabilities move by {worst.mean_move:.3f}"
    )
    if len(column.truths) < _LEAST_IMAGES:
        return measured, _verdict(
            "cannot tell", f"{reason}, on fewer than {_LEAST_IMAGES} images", "Audit more images."
        )
    if (worst.answers_changed.mean or 0.0) > _LARGEST_SHARE:
        advice = (
            "Answers near the threshold are not to be relied on: treat them as uncertain, and train with such changes."
        )
        return measured, _verdict("flagged", reason, advice)
    return measured, _verdict("ok", reason, "")


def _verdict(state: Any, reason: str, advice: str) -> Verdict:
    return Verdict(check="consistency", measure="small changes", state=state, reason=reason, advice=advice)
