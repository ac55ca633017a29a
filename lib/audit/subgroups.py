"""Whether answers are as good for every group of patients: AUROC per group, and what is missed more than in others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.intervals import Interval
from .column import Chosen, Column, spread
from .verdicts import Verdict

LEAST_OF_EITHER = 10
"""A group with fewer images that have the finding, or have it not, is too small to say anything about."""

_LARGEST_GAP = 0.1

Groups = Mapping[str, Mapping[str, str]]
"""Attribute, such as `sex` → image id → group; images of which it is not known are left out."""


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One group of images; figures are None where it, or the rest, is too small.

    Attributes:
        attribute: Such as `sex`.
        group: Such as `F`.
        n: Images of the group.
        positives: Those that have the finding.
        auroc: Within the group.
        missed: Share of its positives whose answer was no.
        gap: By how much more is missed than in the images of the other groups.
        verdict: What to make of it.
    """

    attribute: str
    group: str
    n: int
    positives: int
    auroc: Interval | None = None
    missed: Interval | None = None
    gap: Interval | None = None
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """All but the verdict's wording."""
        return {**asdict(self), "verdict": self.verdict.state}


def subgroups(column: Column, groups: Groups) -> list[Subgroup]:
    """Every group of every attribute, in order."""
    found = []
    for attribute, of_image in groups.items():
        values = np.array([of_image.get(image_id, "") for image_id in column.image_ids])
        known = values != ""
        found += [
            _one(column, attribute, str(group), values == group, known & (values != group))
            for group in np.unique(values[known])
        ]
    return found


def no_subgroups() -> Verdict:
    """What is said where no attribute is known."""
    return Verdict(
        check="subgroups", measure="groups of patients", state="cannot tell", reason="nothing is known of the patients",
        advice="Add columns such as sex, age, view or device to the table, or give another one with --subgroups.",
    )  # fmt: skip


def _one(
    column: Column, attribute: str, group: str, inside: NDArray[np.bool_], others: NDArray[np.bool_]
) -> Subgroup:  # fmt: skip
    count, positives = int(inside.sum()), int(column.truths[inside].sum())
    made = partial(Subgroup, attribute=attribute, group=group, n=count, positives=positives)
    fewest = min(positives, count - positives)
    measure = f"{attribute} {group}"
    if fewest < LEAST_OF_EITHER:
        reason = f"{fewest} images of the rarer answer in this group, fewer than {LEAST_OF_EITHER}"
        return made(verdict=_small(measure, reason))
    area = column.of(inside).area()
    missed = column.interval(lambda chosen: _missed(column, inside, chosen))
    if int(column.truths[others].sum()) < LEAST_OF_EITHER:
        reason = f"AUROC {spread(area)}, but fewer than {LEAST_OF_EITHER} other images with the finding to compare with"
        return made(auroc=area, missed=missed, verdict=_small(measure, reason))
    gap = column.interval(lambda chosen: _missed(column, inside, chosen) - _missed(column, others, chosen))
    return made(auroc=area, missed=missed, gap=gap, verdict=_verdict(measure, area, missed, gap))


def _missed(column: Column, rows: NDArray[np.bool_], chosen: Chosen) -> float:
    """Share of the positives among some rows whose answer is no; nan without any."""
    positives = chosen[(rows & column.truths)[chosen]]
    return float(np.mean(column.probabilities[positives] < column.threshold)) if len(positives) else float("nan")


def _small(measure: str, reason: str) -> Verdict:
    return Verdict(
        check="subgroups", measure=measure, state="cannot tell", reason=reason, advice="Audit more images of it."
    )


def _verdict(measure: str, area: Interval, missed: Interval, gap: Interval) -> Verdict:
    figures = f"AUROC {spread(area)}, missed {spread(missed)}, that is {spread(gap)} more than in the others"
    if gap.mean is None or gap.low is None or gap.high is None:
        return _small(measure, figures)
    if gap.mean > _LARGEST_GAP and gap.low > 0:
        return Verdict(
            check="subgroups", measure=measure, state="flagged", reason=figures,
            advice="Findings of this group are missed more often: tell the readers, and train with more of its images.",
        )  # fmt: skip
    if area.high is not None and area.high < 0.5:
        return Verdict(
            check="subgroups", measure=measure, state="flagged", reason=f"{figures}; ranked the wrong way round",
            advice="Look whether the table's answers of this group are right.",
        )  # fmt: skip
    if gap.high > _LARGEST_GAP:
        reason = f"{figures}; a gap above {_LARGEST_GAP:g} is possible"
        return _small(measure, reason)
    return Verdict(check="subgroups", measure=measure, state="ok", reason=figures)
