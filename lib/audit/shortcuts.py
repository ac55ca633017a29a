"""Whether the answer comes from where the finding is: without the region, without corners, and with a planted marker.

| measure | what it means |
|---|---|
| region removed | what is still told must come from elsewhere: devices, markers, borders, the site's habits |
| corners covered | answers that follow came from the corners, where markers and burnt-in text are |
| planted marker | scores that follow a letter in a corner come from a network that has learnt what markers mean |

The first two see what the audited images hold, so they must be like those trained on; the third needs a marker like the
learnt one. That an audit finds nothing is therefore no proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..models.intervals import Interval
from ..models.ranking import auroc
from .answers import MARKED, NO_CORNERS, NO_REGION
from .column import Column, spread
from .verdicts import Verdict

_CHECK = "shortcuts"
_CHANCE = 0.5
_WIDEST = 0.5
_LEAST_DROP = 0.02
_LARGEST_SHARE = 0.1
_LARGEST_MOVE = 0.1
_LEAST_OF_EITHER = 5


_NOT_TOLD: Mapping[str, Any] = {
    "state": "cannot tell",
    "reason": "the finding is not told better than by chance on these images, so nothing shows by what",
    "advice": "Audit more images, or another model.",
}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a change of the images did.

    Attributes:
        change: What was done.
        auroc: After it.
        drop: By how much the AUROC fell, paired.
        answers_changed: Share of the images whose answer is another one.
        mean_move: Mean distance that the probability moved.
    """

    change: str
    auroc: Interval
    drop: Interval
    answers_changed: Interval
    mean_move: float

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @property
    def moved(self) -> bool:
        """Whether answers or probabilities follow the change."""
        return self.mean_move > _LARGEST_MOVE or (self.answers_changed.mean or 0.0) > _LARGEST_SHARE

    @property
    def figures(self) -> str:
        """Both in words."""
        return f"{spread(self.answers_changed)} of the answers change, probabilities move by {self.mean_move:.2f}"


def shortcuts(column: Column) -> tuple[list[Effect], list[Verdict]]:
    """The measures, and a verdict on each; a marker is judged in the corner in which it moves most."""
    corners = _effect(column, NO_CORNERS)
    marker = _effect(column, max(MARKED.values(), key=column.mean_move))
    effects, verdicts = [corners, marker], [_on_corners(corners), _on_marker(marker)]
    if not _tells(column.area()):
        verdicts = [one if one.state == "flagged" else replace(one, **_NOT_TOLD) for one in verdicts]
    known = np.isfinite(column.changed[NO_REGION]) if NO_REGION in column.changed else np.zeros(0, dtype=bool)
    if not known.any():
        return effects, [no_region(), *verdicts]
    seen = column.of(known)
    region = _effect(seen, NO_REGION)
    return [region, *effects], [_on_region(seen, region), *verdicts]


def no_region() -> Verdict:
    """What is said where nobody knows where the finding would be."""
    return Verdict(
        check=_CHECK, measure=NO_REGION, state="cannot tell", reason="no region of interest was given",
        advice="Give label maps with --roi-from, or --roi lungs, which needs a model of cxr_anatomy.",
    )  # fmt: skip


def _effect(column: Column, change: str) -> Effect:
    before, after, truths = column.probabilities, column.changed[change], column.truths
    return Effect(
        change=change,
        auroc=column.area(change=change),
        drop=column.interval(
            lambda chosen: auroc(before[chosen], truths[chosen]) - auroc(after[chosen], truths[chosen])
        ),
        answers_changed=column.answers_changed(change),
        mean_move=column.mean_move(change),
    )


def _on_region(column: Column, effect: Effect) -> Verdict:
    whole, without = column.area(), effect.auroc
    figures = f"AUROC {spread(without)} without the region, {spread(whole)} with it, on {whole.n} images"
    fewest = column.least_of_either
    if without.low is None or without.high is None or whole.low is None or fewest < _LEAST_OF_EITHER:
        return _open(effect, f"{fewest} images of the rarer answer, fewer than {_LEAST_OF_EITHER}")
    if not without.low <= _CHANCE <= without.high:
        return _flagged(
            effect,
            f"{figures}: the answer is still told where the finding cannot be seen",
            "See in the heat maps of these images what tells it, such as devices, markers or borders; train on images "
            "in which that does not go with the finding, or crop to the region.",
        )
    if not _tells(whole):
        return _open(effect, f"{figures}: it is not told with the region either")
    if without.high - without.low > _WIDEST:
        return _open(effect, f"{figures}: too wide to say")
    return _fine(effect, f"{figures}: chance")


def _on_corners(effect: Effect) -> Verdict:
    drop = effect.drop
    figures = f"AUROC falls by {spread(drop)}, {effect.figures}"
    lost = drop.mean is not None and drop.low is not None and drop.mean > _LEAST_DROP and drop.low > 0
    if lost or effect.moved:
        return _flagged(
            effect,
            figures,
            "Something in the corners is part of the answer: look there for markers and burnt-in text, and cover them "
            "in the images that are trained on.",
        )
    return _fine(effect, figures)


def _on_marker(effect: Effect) -> Verdict:
    if effect.moved:
        return _flagged(
            effect,
            effect.figures,
            "A bright letter in a corner counts as a sign: cover markers in the images that are trained on, or plant "
            "some at random.",
        )
    return _fine(effect, effect.figures)


def _tells(area: Interval) -> bool:
    """Whether it is clear that the finding is told at all."""
    return area.low is not None and area.low > _CHANCE


def _fine(effect: Effect, reason: str) -> Verdict:
    return Verdict(check=_CHECK, measure=effect.change, state="ok", reason=reason)


def _flagged(effect: Effect, reason: str, advice: str) -> Verdict:
    return Verdict(check=_CHECK, measure=effect.change, state="flagged", reason=reason, advice=advice)


def _open(effect: Effect, reason: str) -> Verdict:
    return Verdict(
        check=_CHECK,
        measure=effect.change,
        state="cannot tell",
        reason=reason,
        advice="Audit more images, or another model.",
    )
