"""The audit of one model version on one set of images, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..models.intervals import Interval
from .answers import Answers
from .column import Column, columns_of
from .consistency import Steadiness, consistency
from .reliability import Reliability, reliability
from .shortcuts import Effect, shortcuts
from .subgroups import Groups, Subgroup, no_subgroups, subgroups
from .verdicts import Verdict, worst


@dataclass(frozen=True, eq=False, kw_only=True)
class Audited:
    """One finding.

    Attributes:
        column: What was said of it.
        auroc: Of the images as they are.
        reliability: Whether probabilities mean what they say.
        subgroups: Per group of patients.
        effects: What changes that matter did.
        steadiness: What small changes did.
        verdicts: On all of it, in this order.
    """

    column: Column
    auroc: Interval
    reliability: Reliability
    subgroups: list[Subgroup]
    effects: list[Effect]
    steadiness: list[Steadiness]
    verdicts: list[Verdict]

    def to_json(self) -> dict[str, Any]:
        """Everything measured, without anything of single images."""
        return {
            "verdict": worst(self.verdicts),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "images": len(self.column.truths),
            "positives": int(self.column.truths.sum()),
            "auroc": self.auroc.to_json(),
            "calibration": self.reliability.to_json(),
            "subgroups": [one.to_json() for one in self.subgroups],
            "shortcuts": [one.to_json() for one in self.effects],
            "consistency": [one.to_json() for one in self.steadiness],
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Audit:
    """All findings of a version.

    Attributes:
        task: Name.
        version: Of the model.
        images: How many were looked at.
        patients: Of how many patients.
        threshold: Probability from which on an answer is yes.
        findings: Those that somebody looked for.
    """

    task: str
    version: str
    images: int
    patients: int
    threshold: float
    findings: list[Audited]

    def to_json(self) -> dict[str, Any]:
        """For a program; `verdict` is the worst of all."""
        return {
            "task": self.task,
            "model_version": self.version,
            "images": self.images,
            "patients": self.patients,
            "threshold": self.threshold,
            "verdict": worst(verdict for one in self.findings for verdict in one.verdicts),
            "findings": {one.column.name: one.to_json() for one in self.findings},
        }


def audit(answers: Answers, groups: Groups, *, version: str, threshold: float = 0.5) -> Audit:
    """Judge what a network answered.

    Args:
        answers: As `answers.ask` gives them.
        groups: Of the patients; may be empty.
        version: Name of the model version.
        threshold: Probability from which on an answer is yes.
    """
    return Audit(
        task=answers.spec.name,
        version=version,
        images=len(answers.cases),
        patients=len({case.patient_id for case in answers.cases}),
        threshold=threshold,
        findings=[_audited(column, groups) for column in columns_of(answers, threshold=threshold)],
    )


def _audited(column: Column, groups: Groups) -> Audited:
    calibrated = reliability(column)
    by_group = subgroups(column, groups)
    effects, on_shortcuts = shortcuts(column)
    steadiness, on_consistency = consistency(column)
    return Audited(
        column=column,
        auroc=column.area(),
        reliability=calibrated,
        subgroups=by_group,
        effects=effects,
        steadiness=steadiness,
        verdicts=[
            calibrated.verdict,
            *([one.verdict for one in by_group] or [no_subgroups()]),
            *on_shortcuts,
            on_consistency,
        ],
    )
