"""From a network's logits to probabilities that mean what they say, and to "uncertain" where they cannot.

Per finding a line on the logit, fitted on validation cases (Platt, Advances in Large Margin Classifiers, 1999, with
his smoothed targets, which keep a small separable set from giving certainty); then a split-conformal set (Vovk et al.,
Algorithmic Learning in a Random World, 2005): of all new images, the set of possible answers holds the true one with
the wanted probability, whatever the network is worth. Where both answers or none are possible the state is `uncertain`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

State = Literal["positive", "negative", "uncertain"]
Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]

COVERAGE = 0.9
"""Share of new images whose set of possible answers is to hold the true one."""

_LEAST_OF_EACH = 5
_ROUNDS = 100
_CLOSE = 1e-10
_RIDGE = 1e-12
_LEAST_SLOPE = 1e-6


@dataclass(frozen=True, kw_only=True)
class FindingCalibration:
    """Of one finding: `probability = sigmoid(slope * logit + offset)`, and what is possible.

    Attributes:
        slope: Above 0, so that calibration never changes the order of images.
        offset: Added to the logit.
        threshold: Greatest improbability at which an answer is still possible, 0–1; 1 leaves every answer open.
        cases: Validation cases behind it.
        fitted: Whether there were enough of both classes for a line; else the logits are as the network gave them.
        coverage: That the threshold was chosen for.
    """

    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 1.0
    cases: int = 0
    fitted: bool = False
    coverage: float = COVERAGE

    def probability(self, logits: Numbers) -> Numbers:
        """`(n,)` calibrated probabilities."""
        return sigmoid(self.slope * logits + self.offset)

    def possible(self, probability: float) -> tuple[bool, bool]:
        """Whether "has it" and "has it not" are possible answers."""
        return 1 - probability <= self.threshold, probability <= self.threshold

    def state(self, probability: float) -> State:
        """`positive` or `negative` where that is the only possible answer, else `uncertain`."""
        match self.possible(probability):
            case (True, False):
                return "positive"
            case (False, True):
                return "negative"
        return "uncertain"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of one model version.

    Attributes:
        findings: Name → calibration; a finding that is not named keeps its logit, and is uncertain.
    """

    findings: Mapping[str, FindingCalibration]

    def of(self, name: str) -> FindingCalibration:
        """That of a finding."""
        return self.findings.get(name, FindingCalibration())

    def to_json(self) -> dict[str, Any]:
        """Name → all fields."""
        return {name: asdict(one) for name, one in self.findings.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Undo `to_json`; nothing stored stands for no calibration."""
        return cls(findings={name: FindingCalibration(**one) for name, one in content.items()})


def fit_finding(logits: Numbers, truths: Truths, *, coverage: float = COVERAGE) -> FindingCalibration:
    """Calibrate one finding on cases the network was not trained on.

    With fewer than five cases of either class the logits stay as they are: a line through fewer would be luck. The
    threshold needs `coverage / (1 - coverage)` cases; below that every answer stays possible.

    Args:
        logits: `(n,)` of cases that were annotated for the finding.
        truths: `(n,)` whether it is there.
        coverage: Wanted share of sets that hold the truth.
    """
    fitted = min(int(truths.sum()), int((~truths).sum())) >= _LEAST_OF_EACH
    slope, offset = platt(logits, truths) if fitted else (1.0, 0.0)
    probabilities = sigmoid(slope * logits + offset)
    return FindingCalibration(
        slope=slope,
        offset=offset,
        threshold=conformal_threshold(probabilities, truths, coverage=coverage),
        cases=len(truths),
        fitted=fitted,
        coverage=coverage,
    )


def platt(logits: Numbers, truths: Truths) -> tuple[float, float]:
    """Slope and offset of the line on the logits with the least cross-entropy to Platt's smoothed targets.

    Newton's method. Where the slope would turn the order of the images round, all get the share of the finding, by a
    line that hardly rises.
    """
    positives, negatives = float(truths.sum()), float((~truths).sum())
    targets = np.where(truths, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    line = np.array([0.0, math.log((positives + 1) / (negatives + 1))])
    loss = _cross_entropy(design @ line, targets)
    for _ in range(_ROUNDS):
        probabilities = sigmoid(design @ line)
        gradient = design.T @ (probabilities - targets)
        weights = probabilities * (1 - probabilities)
        hessian = (design * weights[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        share = 1.0
        while share > _CLOSE and _cross_entropy(design @ (line - share * step), targets) > loss:
            share /= 2
        line = line - share * step
        before, loss = loss, _cross_entropy(design @ line, targets)
        if before - loss < _CLOSE:
            break
    if line[0] < _LEAST_SLOPE:
        line = np.array([_LEAST_SLOPE, math.log(targets.sum() / (1 - targets).sum())])
    return float(line[0]), float(line[1])


def conformal_threshold(probabilities: Numbers, truths: Truths, *, coverage: float = COVERAGE) -> float:
    """The `⌈(n + 1) coverage⌉`-th smallest improbability of the true answer; 1 where `n` is too small for that."""
    improbabilities = np.sort(np.where(truths, 1 - probabilities, probabilities))
    place = math.ceil((len(improbabilities) + 1) * coverage)
    return float(improbabilities[place - 1]) if place <= len(improbabilities) else 1.0


def expected_calibration_error(probabilities: Numbers, truths: Truths, *, bins: int = 15) -> float:
    """Mean distance of probability and observed share over bins of equal width (Naeini et al., AAAI 2015)."""
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    claimed = np.bincount(places, weights=probabilities, minlength=bins)
    observed = np.bincount(places, weights=truths.astype(float), minlength=bins)
    return float(np.abs(claimed - observed).sum() / max(1, counts.sum()))


def sigmoid(values: Numbers) -> Numbers:
    """Logistic function, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -values)), dtype=np.float64)


def _cross_entropy(logits: Numbers, targets: Numbers) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))
