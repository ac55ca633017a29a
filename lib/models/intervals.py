"""How far a mean over cases can be trusted: percentile bootstrap over patients.

Images of one patient are not independent, so whole patients are drawn with replacement (Efron & Tibshirani, An
Introduction to the Bootstrap, 1993, ch. 13; for clusters, Davison & Hinkley, Bootstrap Methods, 1997, ch. 3.8).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 2000
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over cases and its 95 % interval.

    Attributes:
        mean: Over the cases that define the value; None where none does.
        low: 2.5th percentile, None with fewer than two patients.
        high: 97.5th percentile, None with fewer than two patients.
        n: Cases that define the value.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """All fields by name."""
        return asdict(self)


def intervals(values: Values, *, patients: Sequence[str], seed: int = 0) -> tuple[Interval, ...]:
    """Mean and interval of every column.

    Args:
        values: `(cases, columns)`; nan where a case does not define a column.
        patients: Of each case.
        seed: Of the bootstrap.
    """
    samples = resampled_means(values, patients=patients, seed=seed)
    defined = ~np.isnan(values)
    found = []
    for column, count in enumerate(defined.sum(axis=0)):
        there = values[defined[:, column], column]
        spread = percentile_interval(samples[:, column]) if _patients_with(defined[:, column], patients) > 1 else None
        low, high = spread or (None, None)
        found.append(Interval(mean=float(there.mean()) if count else None, low=low, high=high, n=int(count)))
    return tuple(found)


def resampled_means(
    values: Values, *, patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """The mean of every column in every bootstrap sample of the patients.

    Args:
        values: `(cases, columns)`, one case at least; nan where a case does not define a column.
        patients: Of each case.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Returns:
        `(resamples, columns)`; nan where a sample holds no case that defines the column.
    """
    names, belongs = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    defined = ~np.isnan(values)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, belongs, np.where(defined, values, 0.0))
    np.add.at(counts, belongs, defined.astype(np.float64))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    drawn_counts = drawn @ counts
    means: NDArray[np.float64] = np.divide(
        drawn @ sums, drawn_counts, out=np.full_like(drawn_counts, np.nan), where=drawn_counts > 0
    )
    return means


def resampled(
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    patients: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval over patients of anything that is computed from a choice of cases.

    Args:
        statistic: Indices of cases, some of them several times → number; nan where they do not define it, and such
            samples are left out.
        patients: Of each case; whole patients are drawn.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Returns:
        None with fewer than two patients, or where no sample is defined.
    """
    names, belongs = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None
    order, counts = np.argsort(belongs, kind="stable"), np.bincount(belongs)
    starts = np.cumsum(counts) - counts
    random = np.random.default_rng(seed)
    samples = np.empty(resamples)
    for number in range(resamples):
        drawn = random.integers(len(names), size=len(names))
        many = counts[drawn]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        samples[number] = statistic(order[np.repeat(starts[drawn], many) + within])
    return percentile_interval(samples)


def mean_over_columns(means: Values) -> NDArray[np.float64]:
    """`(rows,)` mean of those columns that are not nan; nan where all are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row without any value is nan, and that is what is wanted
        averaged: NDArray[np.float64] = np.nanmean(means, axis=1)
    return averaged


def percentile_interval(samples: Values) -> tuple[float, float] | None:
    """The middle 95 % of bootstrap samples; None if none is defined."""
    defined = samples[~np.isnan(samples)]
    if not defined.size:
        return None
    low, high = np.percentile(defined, _PERCENTILES)
    return float(low), float(high)


def _patients_with(defined: NDArray[np.bool_], patients: Sequence[str]) -> int:
    return len({patient for patient, there in zip(patients, defined, strict=True) if there})
