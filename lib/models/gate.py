"""Whether a candidate may replace the served version: both measured on the same frozen holdout cases.

The rule: no label's mean Dice falls by more than the margin, and the mean over all labels does not fall at all.
The bootstrap interval tells a reader how much the holdout can say; it does not enter the rule, because a holdout of a
few patients would then never let a better model through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError
from .metrics import mean_of_defined

PerCaseDice = Mapping[str, Mapping[str, float]]
"""Image id → label name → Dice; nan where the structure is in neither map."""

_TOLERANCE = 1e-6
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """One label on the holdout; None where no case defines it.

    Attributes:
        label: Name.
        candidate: Mean Dice of the candidate.
        served: Mean Dice of the served version.
        difference: Candidate minus served, over the cases where both are defined.
        worse: Whether it fell by more than the margin.
    """

    label: str
    candidate: float | None
    served: float | None
    difference: float | None
    worse: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The gate's answer.

    Attributes:
        promoted: Whether the candidate is to be served.
        reason: One sentence, for the history and for people.
        per_label: The table behind it.
        mean_difference: Mean over labels of the differences, None without a comparison.
        interval: 95 % bootstrap interval of `mean_difference` over cases, None with fewer than two cases.
        cases: Size of the holdout.
    """

    promoted: bool
    reason: str
    per_label: tuple[LabelChange, ...] = ()
    mean_difference: float | None = None
    interval: tuple[float, float] | None = None
    cases: int = 0

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return asdict(self)


def decide(
    candidate: PerCaseDice, served: PerCaseDice | None, *, margin: float, seed: int = 0, resamples: int = 2000
) -> Decision:
    """Compare a candidate with the served version.

    Args:
        candidate: Its Dice on the holdout.
        served: The served version's Dice on the same cases; None if nothing is served.
        margin: By how much a label's mean may fall.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        ConfigurationError: If the two were not measured on the same cases.
    """
    if served is None:
        return Decision(promoted=True, reason="nothing served yet", per_label=_table(candidate, {}, margin=margin))
    if set(candidate) != set(served):
        raise ConfigurationError("The gate must compare both versions on the same cases. Evaluate both again.")
    if not candidate:
        return Decision(
            promoted=False,
            reason="the holdout is empty, so nothing shows that the candidate is not worse. Label images of more "
            "patients (three are enough for a holdout), or promote by hand with `carina models promote`",
        )
    table = _table(candidate, served, margin=margin)
    differences = _difference_matrix(candidate, served)
    mean = _mean_over_labels(differences)
    if math.isnan(mean):
        reason = "no holdout case holds any of the labels. Label these structures in the holdout patients' images"
        return Decision(promoted=False, reason=reason, per_label=table, cases=len(candidate))
    worse = [row for row in table if row.worse]
    interval = _bootstrap(differences, seed=seed, resamples=resamples)
    return Decision(
        promoted=not worse and mean >= -_TOLERANCE,
        reason=_reason(worse, mean, interval, cases=len(candidate), margin=margin),
        per_label=table,
        mean_difference=mean,
        interval=interval,
        cases=len(candidate),
    )


def _reason(
    worse: list[LabelChange], mean: float, interval: tuple[float, float] | None, *, cases: int, margin: float
) -> str:
    spread = f" (95 % interval {interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    measured = f"mean Dice {mean:+.3f}{spread} on {cases} holdout case{'s' if cases != 1 else ''}"
    if worse:
        fallen = sorted(worse, key=lambda row: row.difference or 0.0)
        named = ", ".join(f"{row.label} {row.difference:+.3f}" for row in fallen[:_SHOWN])
        more = f" and {len(fallen) - _SHOWN} more" if len(fallen) > _SHOWN else ""
        return f"worse by more than {margin:g} on {named}{more}; {measured}"
    if mean < -_TOLERANCE:
        return f"worse on average; {measured}"
    return f"not worse on any label; {measured}"


def _labels(*tables: PerCaseDice) -> list[str]:
    """Label names in the order they first appear."""
    return list(dict.fromkeys(name for table in tables for row in table.values() for name in row))


def _table(candidate: PerCaseDice, served: PerCaseDice, *, margin: float) -> tuple[LabelChange, ...]:
    rows = []
    for name in _labels(candidate, served):
        now = {case: row.get(name, math.nan) for case, row in candidate.items()}
        before = {case: row.get(name, math.nan) for case, row in served.items()}
        difference = mean_of_defined([now[case] - before[case] for case in now.keys() & before.keys()])
        rows.append(
            LabelChange(
                label=name,
                candidate=_defined(mean_of_defined(list(now.values()))),
                served=_defined(mean_of_defined(list(before.values()))),
                difference=_defined(difference),
                worse=not math.isnan(difference) and difference < -margin - _TOLERANCE,
            )
        )
    return tuple(rows)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def _difference_matrix(candidate: PerCaseDice, served: PerCaseDice) -> NDArray[np.float64]:
    """`(cases, labels)` candidate minus served; nan where either is undefined."""
    names = _labels(candidate, served)
    rows = [
        [candidate[case].get(name, math.nan) - served[case].get(name, math.nan) for name in names]
        for case in sorted(candidate)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _mean_over_labels(differences: NDArray[np.float64]) -> float:
    """Mean over labels of each label's mean over cases, so that a frequent label weighs no more than a rare one."""
    return mean_of_defined([mean_of_defined(column.tolist()) for column in differences.T])


def _bootstrap(differences: NDArray[np.float64], *, seed: int, resamples: int) -> tuple[float, float] | None:
    """Percentile interval over resampled cases (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)."""
    cases = len(differences)
    if cases < 2:
        return None
    random = np.random.default_rng(seed)
    picks = differences[random.integers(0, cases, size=(resamples, cases))]  # (resamples, cases, labels)
    defined = ~np.isnan(picks)
    counts = defined.sum(axis=1)
    sums = np.where(defined, picks, 0.0).sum(axis=1)
    per_label = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    labels = (counts > 0).sum(axis=1)
    means = per_label.sum(axis=1)[labels > 0] / labels[labels > 0]
    if not means.size:
        return None
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
