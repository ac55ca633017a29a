"""How well scores tell images that have a finding from those that have not: AUROC, AUPRC, Brier score, with intervals.

An AUROC is the mean of its cases' placements (DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988): of an image with
the finding, the share of images without it that score lower; of one without it, the share of images with it that score
higher. `contributions` weigh them so that their mean over all cases is the AUROC and their spread that of the AUROC,
and what is made for means over cases (bootstrap, promotion gate) takes them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .intervals import RESAMPLES, Interval, resampled

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]
Metric = Callable[[Numbers, Truths], float]


def placements(scores: Numbers, truths: Truths) -> Numbers:
    """The placement of every case among those of the other class; ties count half.

    Args:
        scores: `(n,)` any numbers that rise with the finding.
        truths: `(n,)` whether the finding is there.

    Returns:
        `(n,)` in [0, 1]; all nan where one class is missing.
    """
    if truths.all() or not truths.any():
        return np.full(len(scores), np.nan)
    placed = np.empty(len(scores))
    for having in (True, False):
        others = np.sort(scores[truths != having])
        mine = scores[truths == having]
        below = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / (2 * len(others))
        placed[truths == having] = below if having else 1 - below
    return placed


def contributions(scores: Numbers, truths: Truths) -> Numbers:
    """What every case contributes to the AUROC: the mean over all cases is the AUROC, and varies with them as it does.

    Placements have that mean, too, but of ten images with a finding among a thousand the ten decide how far the AUROC
    can be trusted. So a placement's distance from the AUROC counts by the inverse of its class's share (the variance of
    the mean is then that of DeLong et al.).

    Args:
        scores: As in `placements`.
        truths: Likewise.

    Returns:
        `(n,)`, some of them outside [0, 1]; all nan where one class is missing.
    """
    placed = placements(scores, truths)
    if np.isnan(placed).all():
        return placed
    area = placed[truths].mean()
    shares = np.where(truths, truths.mean(), (~truths).mean())
    found: Numbers = area + (placed - area) / shares
    return found


def auroc(scores: Numbers, truths: Truths) -> float:
    """Area under the receiver operating characteristic; nan where one class is missing."""
    return float(placements(scores, truths)[truths].mean()) if truths.any() else float("nan")


def auprc(scores: Numbers, truths: Truths) -> float:
    """Average precision: precision at each threshold, weighted by the recall it adds; nan without a positive case."""
    if not truths.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(truths[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # equal scores are one threshold
    recalled = np.diff(np.append(0, found[last])) / found[-1]
    return float(np.sum(recalled * found[last] / (last + 1)))


def brier(probabilities: Numbers, truths: Truths) -> float:
    """Mean squared difference of probability and truth; nan without cases."""
    return float(np.mean((probabilities - truths) ** 2)) if len(truths) else float("nan")


METRICS: dict[str, Metric] = {"auroc": auroc, "auprc": auprc, "brier": brier}
"""What is said of a finding, by name."""


def ranking_interval(
    metric: Metric,
    scores: Numbers,
    truths: Truths,
    *,
    patients: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """A metric of a set of cases and its 95 % percentile bootstrap interval over patients.

    Args:
        metric: One of `METRICS`.
        scores: `(n,)` probabilities.
        truths: `(n,)` whether the finding is there.
        patients: Of each case; whole patients are drawn.
        seed: Of the bootstrap.
        resamples: Bootstrap samples; those that hold one class only are left out.
    """
    whole = metric(scores, truths)
    spread = resampled(
        lambda chosen: metric(scores[chosen], truths[chosen]), patients=patients, seed=seed, resamples=resamples
    )
    low, high = spread or (None, None)
    return Interval(mean=None if np.isnan(whole) else whole, low=low, high=high, n=len(truths))
