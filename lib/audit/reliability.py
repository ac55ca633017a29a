"""Whether probabilities mean what they say: the reliability diagram and the expected calibration error.

An error measured on few images is above 0 even where every probability is right. How much above is found by drawing
truths from the probabilities themselves (consistency resampling, Bröcker & Smith, Weather and Forecasting 22, 2007).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..models.calibration import expected_calibration_error
from .column import Column
from .verdicts import Verdict

BINS = 10

_DRAWN = 1000
_LARGEST_ERROR = 0.05
_BLIND = 0.1
_LEAST_OF_EITHER = 10


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images whose probability lies in one tenth.

    Attributes:
        claimed: Their mean probability.
        observed: Share of them that have the finding.
        low: 2.5th percentile of that share if the probabilities were right.
        high: 97.5th percentile.
        n: How many they are.
    """

    claimed: float
    observed: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Calibration of one finding.

    Attributes:
        error: Expected calibration error over ten bins of equal width.
        by_chance: What it exceeds in one of a hundred cases if every probability is right.
        mean_probability: Of all images.
        share: Of the images that have the finding.
        bins: Those that hold images.
        verdict: What to make of it.
    """

    error: float
    by_chance: float
    mean_probability: float
    share: float
    bins: tuple[Bin, ...]
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """All but the verdict, and how the error is defined."""
        content = asdict(self)
        del content["verdict"]
        return {**content, "binning": f"{BINS} bins of equal width"}


def reliability(column: Column, *, seed: int = 0) -> Reliability:
    """Measure the calibration of one finding."""
    probabilities, truths = column.probabilities, column.truths
    drawn = np.random.default_rng(seed).random((_DRAWN, len(truths))) < probabilities
    error = expected_calibration_error(probabilities, truths, bins=BINS)
    chance = [expected_calibration_error(probabilities, one, bins=BINS) for one in drawn]
    by_chance = float(np.percentile(chance, 99))
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        low, high = np.percentile(drawn[:, inside].mean(axis=1), (2.5, 97.5))
        bins.append(
            Bin(
                claimed=float(probabilities[inside].mean()),
                observed=float(truths[inside].mean()),
                low=float(low),
                high=float(high),
                n=int(inside.sum()),
            )
        )
    return Reliability(
        error=error,
        by_chance=by_chance,
        mean_probability=float(probabilities.mean()),
        share=float(truths.mean()),
        bins=tuple(bins),
        verdict=_verdict(column, error=error, by_chance=by_chance),
    )


def _verdict(column: Column, *, error: float, by_chance: float) -> Verdict:
    claimed, share = float(column.probabilities.mean()), float(column.truths.mean())
    figures = f"Expected calibration error {error:.3f}; right probabilities would give up to {by_chance:.3f}"
    measure = "probabilities against what was observed"
    if column.least_of_either < _LEAST_OF_EITHER:
        return Verdict(
            check="calibration", measure=measure, state="cannot tell",
            reason=f"{column.least_of_either} images of the rarer answer, fewer than {_LEAST_OF_EITHER}",
            advice="Audit more images of it.",
        )  # fmt: skip
    if error > max(by_chance, _LARGEST_ERROR):
        side = "too high" if claimed > share else "too low"
        return Verdict(
            check="calibration", measure=measure, state="flagged",
            reason=f"{figures}; on the mean they are {side}, {claimed:.2f} where {share:.2f} have the finding",
            advice="Do not take them for probabilities here. Retraining with images of this place calibrates anew.",
        )  # fmt: skip
    if by_chance > _BLIND:
        return Verdict(
            check="calibration", measure=measure, state="cannot tell", reason=f"{figures}, too much to see an error",
            advice="Audit more images.",
        )  # fmt: skip
    return Verdict(check="calibration", measure=measure, state="ok", reason=figures)
