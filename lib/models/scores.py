"""What the promotion gate looks at: one structure of one case at a time, and the table of two versions per label."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .intervals import intervals
from .metrics import Row, mean_of_defined

Verdict = Literal["better", "not worse", "worse", "drawn where there is none", "cannot be shown", "measured"]

LEAST_GAIN = 0.05
"""A label is drawn better than chance if its mean Dice is this much above what chance would give."""

_LEAST_FALSE_RISE = 0.1
_TYPICAL_ML = 1.0
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Score:
    """One structure of one case.

    Attributes:
        dice: nan where the structure is neither drawn nor in the reference. Of a classification: see `of_contribution`.
        reference_ml: Volume in the reference; 0 where it is not there.
        false_ml: Volume drawn where the reference has none of it; 0 where it has some.
        chance: Expected Dice of a drawing that knows nothing, see `metrics.chance_dice`.
    """

    dice: float
    reference_ml: float
    false_ml: float = 0.0
    chance: float = 0.0

    @classmethod
    def of(cls, row: Row) -> Score:
        """From a row of `metrics.compare`."""
        reference_ml = row["reference_ml"]
        false_ml = row["volume_error_ml"] if reference_ml == 0 else 0.0
        return cls(dice=row["dice"], reference_ml=reference_ml, false_ml=false_ml, chance=row["chance_dice"])

    @classmethod
    def of_contribution(cls, contribution: float) -> Score:
        """Of a finding of a whole image: what it contributes to the AUROC (`ranking.contributions`), their mean.

        Images with and without the finding count alike, so `reference_ml` says only that there is something to count.
        """
        return cls(dice=contribution, reference_ml=1.0, chance=0.5)


Scores = Mapping[str, Mapping[str, Score]]
"""Image id → label name → score, for the labels annotated in the image."""


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """One label on the holdout; None where no case defines it.

    Attributes:
        label: Name.
        cases: Holdout cases whose reference has the structure; all means are over these.
        candidate: Mean Dice of the candidate.
        served: Mean Dice of the served version.
        difference: Candidate minus served.
        interval: 95 % bootstrap interval of `difference` over patients, None with fewer than two.
        drift: How far below its best so far the label has come over all promotions, 0 or less.
        false_rise: By how much more the candidate draws the structure where it is not, relative to its size, 0–1.
        verdict: What the gate makes of it.
        reason: The same in words.
    """

    label: str
    cases: int
    candidate: float | None
    served: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    drift: float = 0.0
    false_rise: float = 0.0
    verdict: Verdict
    reason: str

    @property
    def stops(self) -> bool:
        """Whether the candidate may not be served because of this label."""
        return self.verdict in ("worse", "drawn where there is none")


def better_than_chance(scores: Scores) -> tuple[str, ...]:
    """Labels whose mean Dice, over the cases that have the structure, is clearly above chance."""
    gains: dict[str, list[float]] = {}
    for row in scores.values():
        for name, score in row.items():
            if score.reference_ml > 0:
                gains.setdefault(name, []).append(score.dice - score.chance)
    return tuple(name for name, values in gains.items() if mean_of_defined(values) >= LEAST_GAIN)


def label_names(*tables: Scores, expected: Iterable[str] = ()) -> tuple[str, ...]:
    """Label names in the order they first appear; those that should be there but are not come last."""
    seen = (name for table in tables for row in table.values() for name in row)
    return tuple(dict.fromkeys([*seen, *expected]))


def measured_table(candidate: Scores, names: Sequence[str]) -> tuple[LabelChange, ...]:
    """The table of a version that is compared with none."""
    rows = []
    for name, column in zip(names, _dice(candidate, candidate, names).T, strict=True):
        mean = _defined(column)
        verdict: Verdict = "cannot be shown" if mean is None else "measured"
        reason = "in no case measured" if mean is None else "nothing to compare with"
        cases = int(np.count_nonzero(~np.isnan(column)))
        rows.append(LabelChange(label=name, cases=cases, candidate=mean, verdict=verdict, reason=reason))
    return tuple(rows)


def compared_table(
    candidate: Scores,
    served: Scores,
    names: Sequence[str],
    *,
    margin: float,
    patients: Sequence[str],
    drift: Mapping[str, float],
    seed: int,
) -> tuple[LabelChange, ...]:
    """The table of two versions on the same cases.

    Args:
        candidate: Of the candidate.
        served: Of the served version, same cases.
        names: Labels to show.
        margin: By how much a label's mean may fall, over all promotions together.
        patients: Of each case, in sorted order of the cases.
        drift: Label → how far the served version already is below the label's best.
        seed: Of the bootstrap.
    """
    now, before = _dice(candidate, candidate, names), _dice(served, candidate, names)
    rows = []
    for column, (name, spread) in enumerate(
        zip(names, intervals(now - before, patients=patients, seed=seed), strict=True)
    ):
        fallen = min(0.0, drift.get(name, 0.0)) + (spread.mean or 0.0)
        rise = _false_rise(candidate, served, name)
        verdict, reason = _verdict(spread.mean, fallen=fallen, rise=rise, margin=margin)
        rows.append(
            LabelChange(
                label=name,
                cases=spread.n,
                candidate=_defined(now[:, column]),
                served=_defined(before[:, column]),
                difference=spread.mean,
                interval=None if spread.low is None or spread.high is None else (spread.low, spread.high),
                drift=min(0.0, fallen),
                false_rise=rise,
                verdict=verdict,
                reason=reason,
            )
        )
    return tuple(rows)


def difference_matrix(candidate: Scores, served: Scores, names: Sequence[str]) -> NDArray[np.float64]:
    """`(cases, labels)` Dice of the candidate minus that of the served version; nan where the structure is not."""
    return _dice(candidate, candidate, names) - _dice(served, candidate, names)


def _verdict(difference: float | None, *, fallen: float, rise: float, margin: float) -> tuple[Verdict, str]:
    if rise > max(margin, _LEAST_FALSE_RISE):
        return "drawn where there is none", "drawn in cases that do not have it, more than by the served version"
    if difference is None:
        return "cannot be shown", "in no holdout case"
    if difference < -margin - _TOLERANCE:
        return "worse", f"fell by {-difference:.3f}, more than {margin:g}"
    if fallen < -margin - _TOLERANCE:
        return "worse", f"fell by {-fallen:.3f} since its best version, more than {margin:g}"
    if difference > _TOLERANCE:
        return "better", f"rose by {difference:.3f}"
    return "not worse", f"fell by {-difference:.3f}, at most {margin:g}" if difference < -_TOLERANCE else "equal"


def _dice(scores: Scores, reference: Scores, names: Sequence[str]) -> NDArray[np.float64]:
    """`(cases, labels)` Dice, cases sorted; nan where the reference does not have the structure."""
    rows = [[_there(scores[case].get(name)) for name in names] for case in sorted(reference)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _there(score: Score | None) -> float:
    return score.dice if score is not None and score.reference_ml > 0 else math.nan


def _false_rise(candidate: Scores, served: Scores, name: str) -> float:
    """How much more is drawn where the structure is not: mean over those cases of volume / (volume + its usual one)."""
    usual = mean_of_defined([row[name].reference_ml or math.nan for row in candidate.values() if name in row])
    usual = _TYPICAL_ML if math.isnan(usual) else usual
    absent = [case for case, row in candidate.items() if name in row and row[name].reference_ml == 0]
    rises = [
        _falseness(candidate[case][name], usual) - _falseness(served[case][name], usual)
        for case in absent
        if name in served[case]
    ]
    return mean_of_defined(rises) if rises else 0.0


def _falseness(score: Score, usual_ml: float) -> float:
    return score.false_ml / (score.false_ml + usual_ml)


def _defined(column: NDArray[np.float64]) -> float | None:
    mean = mean_of_defined(column.tolist())
    return None if math.isnan(mean) else mean
