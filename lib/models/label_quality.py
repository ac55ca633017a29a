"""Which labels look wrong: each compared with what networks drew that had not learned from it.

A network that never saw a label errs in its own way, case after case; a wrong label disagrees with it far more than is
usual for that structure. So what counts is not the disagreement but how far it lies beyond the others' (as in the
label-quality scores of confident learning, Northcutt et al., JAIR 70, 2021), structure by structure, in robust units.

Of what the networks did not learn, the label itself speaks, beside the other labels (`plausibility`): a structure that
nearly all of them have is missing, or left and right look exchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid, Volume
from ..label_maps import Mask, mask_of
from ..labels import LabelSet
from ..sizes import SizeUnit
from .label_faults import Agreement, Usual, Vector, reasons
from .metrics import surface_dice
from .usual import ODD
from .verdict import Oddity

SUSPECT = ODD
"""From this score on a label is called suspect; see `Suspicion.score`."""

_MISSED = 0.6

_CERTAIN = 0.9


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What is thought of the label of one image.

    Attributes:
        image_id: Of the image.
        score: 0 (as usual) to 1; 0.5 where a structure disagrees by six robust standard deviations more than usual.
        structures: Name → the same for this structure alone.
        reasons: In words, the weightiest first; empty below `SUSPECT`.
    """

    image_id: str
    score: float
    structures: Mapping[str, float]
    reasons: tuple[str, ...]

    @property
    def suspect(self) -> bool:
        """Whether a person should look at it."""
        return self.score >= SUSPECT

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "image": self.image_id,
            "score": round(self.score, 4),
            "suspect": self.suspect,
            "reasons": list(self.reasons),
            "structures": {name: round(score, 4) for name, score in self.structures.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The label of one image beside what is known from others.

    Attributes:
        agreements: As `agreements` gives them.
        oddities: What is odd about the label by itself, as `Plausibility.oddities` gives it; empty where not all of its
            structures were looked for.
    """

    agreements: Mapping[str, Agreement]
    oddities: Sequence[Oddity] = ()


def agreements(
    label: Volume, drawn: Volume, *, labels: LabelSet, annotated: Collection[str] | None, unit: SizeUnit
) -> dict[str, Agreement]:
    """Compare a label map with a drawing on the same grid.

    Args:
        label: `(X, Y, Z)` label map of `labels`.
        drawn: The same, by a network.
        labels: The structures.
        annotated: Names the annotator cared for; None: all.
        unit: What sizes are told in.

    Returns:
        Name → agreement, of the annotated structures that are labelled or drawn.
    """
    found = {}
    for one in labels:
        if annotated is not None and one.name not in annotated:
            continue
        truth, drawing = (mask_of(array, one, labels) for array in (label.array, drawn.array))
        if truth.any() or drawing.any():
            other = labels.other_side(one)
            exchanged = None if other is None else mask_of(drawn.array, other, labels)
            found[one.name] = _agreement(truth, drawing, exchanged, label.grid, unit)
    return found


def rank_labels(cases: Mapping[str, Comparison]) -> list[Suspicion]:
    """Every case with how wrong its label looks, worst first.

    Args:
        cases: Image id → comparison.
    """
    usual = _usual(cases)
    found = [_suspicion(image_id, case, usual) for image_id, case in cases.items()]
    return sorted(found, key=lambda one: (-one.score, one.image_id))


def not_learned(cases: Mapping[str, Comparison]) -> tuple[str, ...]:
    """Structures that networks usually miss, so that they say nothing about their labels.

    Args:
        cases: As `rank_labels` takes them.
    """
    return tuple(sorted(name for name, usual in _usual(cases).items() if not _learned(usual)))


def _usual(cases: Mapping[str, Comparison]) -> dict[str, Usual]:
    rows = [case.agreements for case in cases.values()]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: Usual.of([row[name] for row in rows if name in row]) for name in names}


def _learned(usual: Usual) -> bool:
    return usual.disagreement.middle <= _MISSED


def _suspicion(image_id: str, case: Comparison, usual: Mapping[str, Usual]) -> Suspicion:
    rows = case.agreements
    scores = {name: usual[name].score(row) for name, row in rows.items()}
    worst_first = sorted(scores, key=lambda name: -scores[name])
    suspects = [name for name in worst_first if scores[name] >= SUSPECT]
    odd = [one for one in case.oddities if _counts(one, scores, usual)]
    for one in odd:
        scores |= {name: max(scores.get(name, 0.0), one.odd) for name in one.names}
    unsaid = [one.text for one in odd if not set(one.names) <= set(suspects)]
    return Suspicion(
        image_id=image_id,
        score=max(scores.values(), default=0.0),
        structures=scores,
        reasons=(*reasons(suspects, rows, usual), *unsaid),
    )


def _counts(oddity: Oddity, scores: Mapping[str, float], usual: Mapping[str, Usual]) -> bool:
    """Whether an oddity makes a label suspect.

    Shapes, pieces and rare structures do not: right labels have such, too. Nor does what a network that can tell draws
    the same way: what it sees in the image counts more.
    """
    seen = all(name in usual and _learned(usual[name]) and not scores.get(name) for name in oddity.names)
    return oddity.fault and oddity.odd >= _CERTAIN and not seen


def _agreement(truth: Mask, drawing: Mask, exchanged: Mask | None, grid: Grid, unit: SizeUnit) -> Agreement:
    spacing = grid.spacing_mm
    empty = not (truth.any() and drawing.any())
    return Agreement(
        unit=unit,
        label_size=int(np.count_nonzero(truth)) * unit.per_voxel,
        drawn_size=int(np.count_nonzero(drawing)) * unit.per_voxel,
        both_size=int(np.count_nonzero(truth & drawing)) * unit.per_voxel,
        exchanged_size=0.0 if exchanged is None else int(np.count_nonzero(truth & exchanged)) * unit.per_voxel,
        surface_dice=surface_dice(drawing, truth, spacing_mm=spacing, tolerance_mm=max(spacing)),
        offset_mm=None if empty else _offset(truth, drawing, grid.affine_ras),
    )


def _offset(truth: Mask, drawing: Mask, affine_ras: NDArray[np.float64]) -> Vector:
    between = np.argwhere(truth).mean(axis=0) - np.argwhere(drawing).mean(axis=0)
    x, y, z = affine_ras[:3, :3] @ between
    return float(x), float(y), float(z)
