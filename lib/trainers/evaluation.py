"""How well a model does on labelled cases, measured on each image's own grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CancelledError
from ..geometry import Volume
from ..labels import LabelSet
from ..models.intervals import intervals
from ..models.metrics import Row, compare, mean_of_defined
from ..models.scores import Score
from ..task import TaskSpec
from .cases import Case

METRICS = ("dice", "hd95_mm", "volume_error_ml")

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One case.

    Attributes:
        image_id: Of the image.
        patient_id: Of its patient; decides what is resampled together, and is written nowhere.
        labels: Label name → metric → value (nan where undefined), for the labels annotated in it.
    """

    image_id: str
    patient_id: str
    labels: Mapping[str, Row]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All cases of one model.

    Attributes:
        task: Task name.
        cases: In the order evaluated.
    """

    task: str
    cases: tuple[CaseResult, ...]

    def means(self) -> dict[str, dict[str, float | None]]:
        """Label → metric → mean over the cases that define it, None where none does."""
        return {name: {metric: self._mean(name, metric) for metric in METRICS} for name in self._names()}

    def intervals(self) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """Label → metric → `mean`, `low`, `high` (95 %, bootstrap over patients) and `n`, the cases that define it."""
        columns = [(name, metric) for name in self._names() for metric in METRICS]
        values = np.array(
            [[case.labels.get(name, {}).get(metric, math.nan) for name, metric in columns] for case in self.cases]
        ).reshape(len(self.cases), len(columns))
        spreads = intervals(values, patients=[case.patient_id for case in self.cases])
        found: dict[str, dict[str, dict[str, float | int | None]]] = {name: {} for name in self._names()}
        for (name, metric), spread in zip(columns, spreads, strict=True):
            found[name][metric] = spread.to_json()
        return found

    def scores(self) -> dict[str, dict[str, Score]]:
        """Image id → label → score, as the promotion gate takes it."""
        return {case.image_id: {name: Score.of(row) for name, row in case.labels.items()} for case in self.cases}

    def patients(self) -> dict[str, str]:
        """Image id → patient."""
        return {case.image_id: case.patient_id for case in self.cases}

    def mean_dice(self) -> float:
        """Mean over labels of each label's mean; nan if nothing is defined."""
        return mean_of_defined([row["dice"] for row in self.means().values() if row["dice"] is not None])

    def to_json(self, *, model_version: str | None, per_case: bool = False) -> dict[str, Any]:
        """`{"task", "model_version", "cases", "labels"}`, with `"per_case"` if asked for; undefined values are null."""
        content: dict[str, Any] = {
            "task": self.task,
            "model_version": model_version,
            "cases": len(self.cases),
            "labels": self.means(),
        }
        if per_case:
            content["per_case"] = [
                {"image": case.image_id, "labels": {name: _defined(row) for name, row in case.labels.items()}}
                for case in self.cases
            ]
        return content

    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for case in self.cases for name in case.labels))

    def _mean(self, name: str, metric: str) -> float | None:
        mean = mean_of_defined([case.labels[name].get(metric, math.nan) for case in self.cases if name in case.labels])
        return None if math.isnan(mean) else mean


def evaluate(
    cases: Sequence[Case],
    *,
    predict_label: Callable[[Volume], Volume],
    spec: TaskSpec,
    progress: Progress = lambda fraction, text: None,
    cancelled: Cancelled = lambda: False,
) -> Evaluation:
    """Predict every case and compare with its label.

    Args:
        cases: Labelled images.
        predict_label: Image → label map on the image's grid, such as `infers.segmentation.segment` with its network.
        spec: The task.
        progress: Told after each case.
        cancelled: Asked before each case.

    Raises:
        CancelledError: If `cancelled` answers true.
    """
    results = []
    for position, case in enumerate(cases):
        if cancelled():
            raise CancelledError("The evaluation was cancelled.")
        image, truth = case.load()
        results.append(compare_case(case, predict_label(image), truth, labels=spec.labels))
        progress((position + 1) / len(cases), f"evaluated {position + 1} of {len(cases)} cases")
    return Evaluation(task=spec.name, cases=tuple(results))


def compare_case(
    case: Case, prediction: Volume, truth: Volume, *, labels: LabelSet, surface: bool = True
) -> CaseResult:
    """Metrics of one prediction, for the labels the case was annotated for."""
    rows = compare(prediction, truth, labels=labels, surface=surface)
    wanted = {name: row for name, row in rows.items() if case.annotated is None or name in case.annotated}
    return CaseResult(image_id=case.image_id, patient_id=case.patient_id, labels=wanted)


def _defined(row: Row) -> dict[str, float | None]:
    return {metric: None if math.isnan(row[metric]) else row[metric] for metric in METRICS if metric in row}
