"""Whether a candidate may replace the served version: both measured on the same frozen holdout cases.

The rule:

- no label's mean Dice falls by more than the margin below its best so far, over all promotions together, and no label
  is drawn clearly more often where it is not;
- the mean over all labels does not fall at all;
- at least one label is drawn better than chance would draw it, on the holdout and on the candidate's own training
  cases: labels that cannot even be learnt are shuffled, whatever luck says on a small holdout.

While nothing is served, the last point alone decides, on patients that were not trained on. The bootstrap interval
tells a reader how much the holdout can say; it does not enter the rule, because a holdout of a few patients would then
never let a better model through. A label that no holdout case has cannot be shown to be worse, and the reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import ConfigurationError
from .intervals import mean_over_columns, percentile_interval, resampled_means
from .metrics import mean_of_defined
from .scores import (
    LabelChange,
    Scores,
    better_than_chance,
    compared_table,
    difference_matrix,
    label_names,
    measured_table,
)

_TOLERANCE = 1e-6
_SHOWN = 3
_MORE_PATIENTS = "Label images of more patients (three are enough for a holdout)"
_BY_HAND = "or promote by hand with `carina models promote`"


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How the gate speaks of what a kind measures.

    Attributes:
        metric: What a score's mean over cases is.
        not_learnt: What is wrong when not even the training cases go better than by chance, and what to do.
        no_better: What is wrong when the cases measured do not.
    """

    metric: str
    not_learnt: str
    no_better: str


DRAWING = Wording(
    metric="Dice",
    not_learnt="no label of its own training cases is drawn better than chance would draw it. Train longer, or look "
    "whether these labels lie on their images",
    no_better="no label is drawn better than chance would draw it",
)
TELLING = Wording(
    metric="AUROC",
    not_learnt="no finding of its own training cases is told apart better than by chance. Train longer, or look "
    "whether the table belongs to these images",
    no_better="no finding is told apart better than by chance",
)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The gate's answer.

    Attributes:
        promoted: Whether the candidate is to be served.
        reason: One sentence, for the history and for people.
        margin: By how much a label might fall.
        served: The version it was compared with, None if with none.
        per_label: The table behind it.
        mean_difference: Mean over labels of the differences, None without a comparison.
        interval: 95 % bootstrap interval of `mean_difference` over patients, None with fewer than two.
        cases: How many were measured.
        patients: Of how many patients.
        measured_on: Which part of the split they are: holdout, or validation for a first version.
        better_than_chance: Labels that the candidate draws better than chance.
        metric: What the numbers of the table are.
    """

    promoted: bool
    reason: str
    margin: float
    served: str | None = None
    per_label: tuple[LabelChange, ...] = ()
    mean_difference: float | None = None
    interval: tuple[float, float] | None = None
    cases: int = 0
    patients: int = 0
    measured_on: str = "holdout"
    better_than_chance: tuple[str, ...] = ()
    metric: str = DRAWING.metric

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is known of a candidate.

    Attributes:
        scores: On the cases measured.
        learnt: On some of its own training cases; None if it was not trained here.
        labels: Those it was trained on.
        patients: Image id → patient; an image that is not named is a patient of its own.
        measured_on: Part of the split that `scores` come from.
        wording: How to speak of them.
    """

    scores: Scores
    learnt: Scores | None = None
    labels: tuple[str, ...] = ()
    patients: Mapping[str, str]
    measured_on: str = "holdout"
    wording: Wording = DRAWING

    @property
    def patient_of_each_case(self) -> list[str]:
        """In sorted order of the cases."""
        return [self.patients.get(case, case) for case in sorted(self.scores)]


def decide_first(candidate: Candidate, *, margin: float, because: str = "nothing served yet") -> Decision:
    """Whether a candidate may be served where nothing is that it could be compared with.

    Args:
        candidate: Measured on the holdout, else on validation cases.
        margin: For the record.
        because: Why there is no comparison.
    """
    table = measured_table(candidate.scores, label_names(candidate.scores, expected=candidate.labels))
    shown = better_than_chance(candidate.scores)
    problem = _not_from_others(candidate) or _not_learnt(candidate) or _no_better_than_chance(candidate, shown)
    spoken = f"{because}; better than chance on {_list(shown)}, {_cases(candidate)}" if shown else ""
    return Decision(
        promoted=problem is None,
        reason=problem or spoken + _cannot_be_shown(table),
        margin=margin,
        per_label=table,
        cases=len(candidate.scores),
        patients=len(set(candidate.patient_of_each_case)),
        measured_on=candidate.measured_on,
        better_than_chance=shown,
        metric=candidate.wording.metric,
    )


def decide(
    candidate: Candidate,
    served: Scores,
    *,
    margin: float,
    served_version: str | None = None,
    drift: Mapping[str, float] | None = None,
    seed: int = 0,
    resamples: int = 2000,
) -> Decision:
    """Compare a candidate with the served version.

    Args:
        candidate: Measured on the holdout; no scores at all stand for an empty holdout.
        served: The served version's scores on the same cases.
        margin: By how much a label's mean may fall.
        served_version: For the record.
        drift: `drifts` of the served version's own decision.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        ConfigurationError: If the two were not measured on the same cases.
    """
    scores = candidate.scores
    if set(scores) != set(served):
        raise ConfigurationError("The gate must compare both versions on the same cases. Evaluate both again.")
    if not scores:
        reason = f"the holdout is empty, so nothing shows that the candidate is not worse. {_MORE_PATIENTS}, {_BY_HAND}"
        return Decision(promoted=False, reason=reason, margin=margin, served=served_version)
    names = label_names(scores, served, expected=candidate.labels)
    patients = candidate.patient_of_each_case
    table = compared_table(scores, served, names, margin=margin, patients=patients, drift=drift or {}, seed=seed)
    mean = mean_of_defined([row.difference for row in table if row.difference is not None])
    differences = difference_matrix(scores, served, names)
    interval = None
    if len(set(patients)) > 1:
        samples = resampled_means(differences, patients=patients, seed=seed, resamples=resamples)
        interval = percentile_interval(mean_over_columns(samples))
    shown = better_than_chance(scores)
    measured = _measured(mean, interval, candidate)
    problem = (
        _nothing_measured(mean)
        or _worse(table, mean, measured)
        or _not_learnt(candidate)
        or _no_better_than_chance(candidate, shown)
    )
    return Decision(
        promoted=problem is None,
        reason=problem or f"not worse on any label; {measured}{_cannot_be_shown(table)}",
        margin=margin,
        served=served_version,
        per_label=table,
        mean_difference=None if math.isnan(mean) else mean,
        interval=interval,
        cases=len(scores),
        patients=len(set(patients)),
        better_than_chance=shown,
        metric=candidate.wording.metric,
    )


def drifts(decision: Mapping[str, Any] | None) -> dict[str, float]:
    """Label → drift, from the stored decision of the served version.

    Nothing where there is none, or where a person promoted against the gate: that person's word starts anew.
    """
    if decision is None or not decision.get("promoted"):
        return {}
    return {row["label"]: row.get("drift", 0.0) for row in decision.get("per_label", ())}


def _nothing_measured(mean: float) -> str | None:
    if not math.isnan(mean):
        return None
    return "no holdout case holds any of the labels. Label these structures in the holdout patients' images"


def _worse(table: Iterable[LabelChange], mean: float, measured: str) -> str | None:
    stopping = [row for row in table if row.stops]
    fallen = sorted((row for row in stopping if row.verdict == "worse"), key=lambda row: row.difference or 0.0)
    false = [row.label for row in stopping if row.verdict == "drawn where there is none"]
    parts = []
    if fallen:
        named = ", ".join(f"{row.label} {row.difference:+.3f} ({row.reason})" for row in fallen[:_SHOWN])
        parts.append(f"worse on {named}{_more(len(fallen))}")
    if false:
        parts.append(f"draws {_list(false)} in cases that do not have it")
    if not parts and mean < -_TOLERANCE:
        parts.append("worse on average")
    return "; ".join([*parts, measured]) if parts else None


def _not_from_others(candidate: Candidate) -> str | None:
    if candidate.measured_on != "train":
        return None
    return (
        "only images of patients it was trained on could be measured, which shows nothing. "
        f"{_MORE_PATIENTS}, {_BY_HAND}"
    )


def _not_learnt(candidate: Candidate) -> str | None:
    if candidate.learnt is None or better_than_chance(candidate.learnt):
        return None
    return candidate.wording.not_learnt


def _no_better_than_chance(candidate: Candidate, shown: tuple[str, ...]) -> str | None:
    if shown:
        return None
    return f"{candidate.wording.no_better}, {_cases(candidate)}. Train longer, {_BY_HAND}"


def _measured(mean: float, interval: tuple[float, float] | None, candidate: Candidate) -> str:
    decimals = _decimals(mean)
    spread = f" (95 % interval {interval[0]:+.{decimals}f} to {interval[1]:+.{decimals}f})" if interval else ""
    if abs(mean) <= _TOLERANCE:
        return f"mean {candidate.wording.metric} unchanged{spread} {_cases(candidate)}"
    way = "higher" if mean > 0 else "lower"
    return f"mean {candidate.wording.metric} {abs(mean):.{decimals}f} {way}{spread} {_cases(candidate)}"


def _decimals(difference: float) -> int:
    """Three, or as many as a smaller difference needs not to read as none."""
    if math.isnan(difference) or abs(difference) <= _TOLERANCE:
        return 3
    return max(3, -math.floor(math.log10(abs(difference))))


def _cases(candidate: Candidate) -> str:
    count = len(candidate.scores)
    return f"on {count} {candidate.measured_on} case{'s' if count != 1 else ''}"


def _cannot_be_shown(table: Iterable[LabelChange]) -> str:
    names = [row.label for row in table if row.verdict == "cannot be shown"]
    return f"; cannot be shown for {_list(names)}, which no case measured has" if names else ""


def _list(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + _more(len(shown))


def _more(count: int) -> str:
    return f" and {count - _SHOWN} more" if count > _SHOWN else ""
