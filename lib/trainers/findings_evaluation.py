"""How well a model tells which findings images have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..models.intervals import Interval
from ..models.ranking import METRICS, Numbers, Truths, contributions, ranking_interval
from ..models.scores import Score


@dataclass(frozen=True, kw_only=True)
class FindingsResult:
    """One case.

    Attributes:
        image_id: Of the image.
        patient_id: Of its patient; decides what is resampled together, and is written nowhere.
        probabilities: Finding → probability, for all of the task's.
        truths: Finding → whether it is there, for those somebody looked for.
    """

    image_id: str
    patient_id: str
    probabilities: Mapping[str, float]
    truths: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class FindingsEvaluation:
    """All cases of one model.

    Attributes:
        task: Task name.
        names: Findings of the task.
        cases: In the order evaluated.
    """

    task: str
    names: tuple[str, ...]
    cases: tuple[FindingsResult, ...]

    def means(self) -> dict[str, dict[str, float | None]]:
        """Finding → `auroc`, `auprc`, `brier`; None where undefined, findings nobody looked for left out."""
        return {name: {metric: row[metric].mean for metric in METRICS} for name, row in self._spreads.items()}

    def intervals(self) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """Finding → metric → `mean`, `low`, `high` (95 %, bootstrap over patients) and `n`, the cases annotated."""
        return {name: {metric: row[metric].to_json() for metric in METRICS} for name, row in self._spreads.items()}

    def scores(self) -> dict[str, dict[str, Score]]:
        """Image id → finding → contribution, as the promotion gate takes it; its mean over images is the AUROC."""
        found: dict[str, dict[str, Score]] = {case.image_id: {} for case in self.cases}
        for name in self.names:
            asked, probabilities, truths = self._column(name)
            for case, given in zip(asked, contributions(probabilities, truths).tolist(), strict=True):
                if not math.isnan(given):
                    found[case.image_id][name] = Score.of_contribution(given)
        return found

    def patients(self) -> dict[str, str]:
        """Image id → patient."""
        return {case.image_id: case.patient_id for case in self.cases}

    def to_json(self, *, model_version: str | None, per_case: bool = False) -> dict[str, Any]:
        """`{"task", "model_version", "cases", "labels", "intervals"}`, with `"per_case"` if asked for."""
        content: dict[str, Any] = {
            "task": self.task,
            "model_version": model_version,
            "cases": len(self.cases),
            "labels": self.means(),
            "intervals": self.intervals(),
        }
        if per_case:
            content["per_case"] = [
                {"image": case.image_id, "labels": {name: _row(case, name) for name in self.names}}
                for case in self.cases
            ]
        return content

    @cached_property
    def _spreads(self) -> dict[str, dict[str, Interval]]:
        columns = {name: self._column(name) for name in self.names}
        return {
            name: {
                metric: ranking_interval(function, probabilities, truths, patients=[case.patient_id for case in asked])
                for metric, function in METRICS.items()
            }
            for name, (asked, probabilities, truths) in columns.items()
            if asked
        }

    def _column(self, name: str) -> tuple[list[FindingsResult], Numbers, Truths]:
        """The cases somebody looked for the finding in, its probabilities, and the truths."""
        asked = [case for case in self.cases if name in case.truths]
        probabilities = np.array([case.probabilities[name] for case in asked], dtype=np.float64)
        return asked, probabilities, np.array([case.truths[name] for case in asked], dtype=bool)


def _row(case: FindingsResult, name: str) -> dict[str, float | None]:
    truth = case.truths.get(name)
    return {"probability": case.probabilities[name], "finding": None if truth is None else float(truth)}
