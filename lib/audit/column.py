"""What was said of one finding, beside the truth: what every check of the audit works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..models.intervals import Interval, resampled
from ..models.ranking import Numbers, Truths, auroc, ranking_interval
from .answers import AS_IT_IS, Answers

Chosen = NDArray[np.intp]

RESAMPLES = 1000


@dataclass(frozen=True, eq=False, kw_only=True)
class Column:
    """One finding, on the images in which somebody looked for it.

    Attributes:
        name: Of the finding.
        image_ids: Of the images.
        patients: Of the images; decide what is resampled together.
        truths: `(n,)` whether it is there.
        changed: Change → `(n,)` probabilities; `answers.AS_IT_IS` among them.
        perturbed: Names of the small changes among them.
        threshold: Probability from which on an answer is yes.
    """

    name: str
    image_ids: Sequence[str]
    patients: Sequence[str]
    truths: Truths
    changed: dict[str, Numbers]
    perturbed: tuple[str, ...]
    threshold: float

    @property
    def probabilities(self) -> Numbers:
        """`(n,)` of the images as they are."""
        return self.changed[AS_IT_IS]

    @property
    def least_of_either(self) -> int:
        """How many images the rarer answer has."""
        return min(int(self.truths.sum()), int((~self.truths).sum()))

    def of(self, rows: NDArray[np.bool_]) -> Column:
        """The same of some of the images."""
        kept = np.flatnonzero(rows)
        return replace(
            self,
            image_ids=[self.image_ids[row] for row in kept],
            patients=[self.patients[row] for row in kept],
            truths=self.truths[kept],
            changed={name: values[kept] for name, values in self.changed.items()},
        )

    def area(self, *, change: str = AS_IT_IS) -> Interval:
        """AUROC of the images, changed in some way."""
        return ranking_interval(auroc, self.changed[change], self.truths, patients=self.patients, resamples=RESAMPLES)

    def interval(self, statistic: Callable[[Chosen], float]) -> Interval:
        """Any number of the images, with its bootstrap interval over patients; see `intervals.resampled`."""
        value = statistic(np.arange(len(self.truths)))
        low, high = resampled(statistic, patients=self.patients, resamples=RESAMPLES) or (None, None)
        return Interval(mean=None if np.isnan(value) else value, low=low, high=high, n=len(self.truths))

    def answers_changed(self, change: str) -> Interval:
        """Share of the images whose answer is another one after a change."""
        differs = (self.changed[change] >= self.threshold) != (self.probabilities >= self.threshold)
        return self.interval(lambda chosen: float(differs[chosen].mean()))

    def mean_move(self, change: str) -> float:
        """Mean distance that a change moves the probability."""
        return float(np.abs(self.changed[change] - self.probabilities).mean())


def columns_of(answers: Answers, *, threshold: float) -> list[Column]:
    """One column for every finding that somebody looked for in an image, in the task's order."""
    found = []
    for label in answers.spec.labels:
        rows = [row for row, case in enumerate(answers.cases) if label.name in case.findings]
        if not rows:
            continue
        cases = [answers.cases[row] for row in rows]
        found.append(
            Column(
                name=label.name,
                image_ids=[case.image_id for case in cases],
                patients=[case.patient_id for case in cases],
                truths=np.array([case.findings[label.name] for case in cases], dtype=bool),
                changed={name: table[rows, label.index - 1] for name, table in answers.probabilities.items()},
                perturbed=answers.perturbed,
                threshold=threshold,
            )
        )
    return found


def spread(interval: Interval, *, digits: int = 2) -> str:
    """`0.81 (0.72–0.90)`, for people."""
    if interval.mean is None:
        return "undefined"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.{digits}f}"
    return f"{interval.mean:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
