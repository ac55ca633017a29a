"""From rounds to figures: learning curves, the area under them, and labels needed, each against random.

All strategies share test sets and first weights of a seed, so they are compared seed by seed: intervals are those of
a bootstrap that draws seeds, the same ones for every strategy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from ..models.intervals import intervals, percentile_interval, resampled_means
from .plan import BASELINE

Curves = NDArray[np.float64]

SHARES = (0.90, 0.95)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and its 95 % interval; None where there is none, as with one seed."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One strategy.

    Attributes:
        strategy: Its name.
        curve: After each round `labels`, `mean`, `low`, `high`, and the means over seeds of the efforts so far:
            `voxels_changed` and `contour_added`.
        area: Under the curve, as a mean score over the labels between first and last round.
        area_ratio: To random's.
        area_difference: To random's, seed by seed.
        needed: Share of the full pool's score → labels at which the mean curve reaches it; no value if it never does.
        needed_ratio: The same, divided by what random needs.
        effort_ratio: Voxels changed by the last round, to random's.
        contour_ratio: The same of the voxels of outlines that were drawn anew.
    """

    strategy: str
    curve: tuple[Mapping[str, float | None], ...]
    area: Figure
    area_ratio: Figure
    area_difference: Figure
    needed: Mapping[str, Figure]
    needed_ratio: Mapping[str, Figure]
    effort_ratio: Figure
    contour_ratio: Figure

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)


def summarise(
    scores: Mapping[str, Curves],
    *,
    labels: Sequence[int],
    full: NDArray[np.float64],
    efforts: Mapping[str, Curves],
    contours: Mapping[str, Curves],
) -> list[Summary]:
    """Compare strategies.

    Args:
        scores: Strategy → `(seeds, rounds)`; random among them.
        labels: Labelled images after each round.
        full: `(seeds,)` score with the whole pool.
        efforts: Strategy → `(seeds, rounds)` voxels changed so far.
        contours: Strategy → `(seeds, rounds)` voxels of outlines drawn anew so far.
    """
    seeds = [str(number) for number in range(len(full))]
    drawn = {name: resampled_means(curve, patients=seeds) for name, curve in scores.items()}
    top = resampled_means(full[:, None], patients=seeds)[:, 0]
    found = []
    for name, curve in scores.items():
        areas = (_area(curve.mean(axis=0), labels), _areas(drawn[name], labels))
        base = (_area(scores[BASELINE].mean(axis=0), labels), _areas(drawn[BASELINE], labels))
        needed, ratios = {}, {}
        for share in SHARES:
            target, targets = share * float(full.mean()), share * top
            own = _needed(curve.mean(axis=0), labels, target)
            owns = _all_needed(drawn[name], labels, targets)
            others = _all_needed(drawn[BASELINE], labels, targets)
            needed[f"{share:.0%}"] = _figure(own, owns, len(full))
            other = _needed(scores[BASELINE].mean(axis=0), labels, target)
            ratios[f"{share:.0%}"] = _figure(
                own / other if math.isfinite(other) else math.nan, _ratio(owns, others), len(full)
            )
        found.append(
            Summary(
                strategy=name,
                curve=_curve(curve, efforts[name], contours[name], labels, seeds),
                area=_figure(*areas, len(full)),
                area_ratio=_figure(areas[0] / base[0], areas[1] / base[1], len(full)),
                area_difference=_figure(areas[0] - base[0], areas[1] - base[1], len(full)),
                needed=needed,
                needed_ratio=ratios,
                effort_ratio=_spent(efforts[name], efforts[BASELINE], seeds),
                contour_ratio=_spent(contours[name], contours[BASELINE], seeds),
            )
        )
    return found


def _curve(
    curve: Curves, effort: Curves, contour: Curves, labels: Sequence[int], seeds: Sequence[str]
) -> tuple[dict[str, float | None], ...]:
    spread = intervals(curve, patients=seeds)
    spent = (effort.mean(axis=0).tolist(), contour.mean(axis=0).tolist())
    return tuple(
        {
            "labels": count,
            "mean": one.mean,
            "low": one.low,
            "high": one.high,
            "voxels_changed": changed,
            "contour_added": added,
        }
        for count, one, changed, added in zip(labels, spread, *spent, strict=True)
    )


def _spent(own: Curves, base: Curves, seeds: Sequence[str]) -> Figure:
    """An effort after the last round, as a ratio to random's."""
    drawn, drawn_base = (resampled_means(effort[:, -1:], patients=seeds)[:, 0] for effort in (own, base))
    return _figure(float(own[:, -1].mean() / base[:, -1].mean()), drawn / drawn_base, len(seeds))


def _areas(curves: Curves, labels: Sequence[int]) -> NDArray[np.float64]:
    """`(n,)` mean height of each curve between its ends."""
    if len(labels) < 2:
        heights: NDArray[np.float64] = curves[:, 0]
        return heights
    areas: NDArray[np.float64] = trapezoid(curves, labels, axis=1) / (labels[-1] - labels[0])
    return areas


def _area(curve: NDArray[np.float64], labels: Sequence[int]) -> float:
    return float(_areas(curve[None], labels)[0])


def _needed(curve: NDArray[np.float64], labels: Sequence[int], target: float) -> float:
    """Labels at which a curve first reaches a target, between two rounds by a straight line; infinite if never."""
    reached = np.flatnonzero(curve >= target)
    if not reached.size:
        return math.inf
    at = int(reached[0])
    if at == 0:
        return float(labels[0])
    share = (target - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(labels[at - 1] + share * (labels[at] - labels[at - 1]))


def _all_needed(curves: Curves, labels: Sequence[int], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([_needed(curve, labels, float(target)) for curve, target in zip(curves, targets, strict=True)])


def _ratio(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undefined where random never got there, infinite where only the strategy did not."""
    there = np.isfinite(other)
    ratio: NDArray[np.float64] = np.divide(own, other, out=np.full_like(own, np.nan), where=there)
    return ratio


def _figure(value: float, samples: NDArray[np.float64], seeds: int) -> Figure:
    defined = samples[~np.isnan(samples)] if seeds > 1 else samples[:0]
    # Percentiles interpolate, which infinite samples forbid: a bound is given only if it is finite.
    spread = percentile_interval(np.minimum(defined, 1e12)) if len(defined) else None
    low, high = spread or (math.inf, math.inf)
    return Figure(value=_finite(value), low=_finite(low), high=_finite(high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) and value < 1e11 else None
