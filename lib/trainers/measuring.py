"""What a network draws on labelled images, measured; the same sliding window as in inference does the drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from ..geometry import Volume
from ..models.gate import DRAWING, Wording
from ..models.metrics import Row, compare, mean_of_defined
from ..models.scores import Score
from ..preprocessing import Prepared, prepare
from ..task import TaskSpec
from .cache import CachedVolume
from .cases import Case
from .evaluation import CaseResult, Evaluation, compare_case
from .lesson import NOT_CALIBRATED, Cancelled, Progress, stop_if

_LEARNT_CASES = 3


class Predict(Protocol):
    """The sliding window of inference, handed in by the caller: `infers.sliding_window.predict`."""

    def __call__(
        self,
        network: nn.Module,
        prepared: Prepared,
        *,
        spec: TaskSpec,
        device: torch.device,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Volume:
        """The label map on `prepared.source`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Draws with networks of one task on one device.

    Attributes:
        spec: The task.
        predict: `infers.sliding_window.predict`.
        device: Where it runs.
        cancelled: Asked before each image and within.
    """

    spec: TaskSpec
    predict: Predict
    device: torch.device
    cancelled: Cancelled
    wording: ClassVar[Wording] = DRAWING

    def dice(self, network: nn.Module, volumes: Sequence[CachedVolume]) -> dict[str, float]:
        """Label → mean Dice on the working grid, nan where no volume defines it: quick enough for every epoch.

        Where no volume has any label all are nan: a Dice would say nothing then but that something was drawn.
        """
        rows: dict[str, list[Row]] = {}
        for volume in volumes:
            for name, row in self._compare(network, volume).items():
                rows.setdefault(name, []).append(row)
        if not any(row["reference_ml"] for found in rows.values() for row in found):
            return dict.fromkeys(rows, math.nan)
        return {name: mean_of_defined([row["dice"] for row in found]) for name, found in rows.items()}

    def scores(self, network: nn.Module, volumes: Sequence[CachedVolume]) -> dict[str, dict[str, Score]]:
        """Image id → label → score on the working grid, as the promotion gate takes it."""
        found: dict[str, dict[str, Score]] = {}
        for volume in volumes:
            rows = self._compare(network, volume)
            found[volume.image_id] = {name: Score.of(row) for name, row in rows.items()}
        return found

    def learnt(self, network: nn.Module, training: Sequence[CachedVolume]) -> dict[str, dict[str, Score]]:
        """`scores` on the few training volumes that hold most labels."""
        fullest = sorted(training, key=lambda volume: (-len(volume.voxels), volume.image_id))[:_LEARNT_CASES]
        return self.scores(network, fullest)

    def evaluate(
        self,
        network: nn.Module,
        cases: Sequence[Case],
        progress: Progress,
        *,
        calibration: Mapping[str, Any] = NOT_CALIBRATED,
    ) -> tuple[Evaluation, Volume]:
        """All metrics on the images' own grids, and what was drawn on the first image.

        Args:
            network: The task's.
            cases: At least one.
            progress: Told after each case.
            calibration: Nothing; a label map has no probabilities.
        """
        results: list[CaseResult] = []
        drawn: list[Volume] = []
        for case in cases:
            image, truth = case.load()
            prediction = self.draw(network, prepare(image, self.spec))
            drawn = drawn or [prediction]
            results.append(compare_case(case, prediction, truth, labels=self.spec.labels))
            progress(len(results) / len(cases), f"measured {len(results)} of {len(cases)} cases")
        return Evaluation(task=self.spec.name, cases=tuple(results)), drawn[0]

    def _compare(self, network: nn.Module, volume: CachedVolume) -> dict[str, Row]:
        """Label → metrics on the working grid, for the labels annotated."""
        prediction = self.draw(network, volume.prepared())
        compared = compare(prediction, volume.truth(), labels=self.spec.labels, surface=False)
        return {name: row for name, row in compared.items() if volume.annotated is None or name in volume.annotated}

    def draw(self, network: nn.Module, prepared: Prepared) -> Volume:
        """What a network draws on a prepared image, on `prepared.source`; the network is in evaluation mode then.

        Raises:
            CancelledError: If `cancelled` answers true.
        """
        stop_if(self.cancelled)
        network.eval()
        return self.predict(
            network,
            prepared,
            spec=self.spec,
            device=self.device,
            progress=lambda fraction, text: None,
            cancelled=self.cancelled,
        )
