"""What a network says of whole images, as data: probability and state of each finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..dicom.sr import ReportedFinding
from ..models.calibration import Calibration, State
from ..networks.whole_image import image_logits
from ..preprocessing import Prepared
from ..task import TaskSpec

_PRESENT: dict[State, bool | None] = {"positive": True, "negative": False, "uncertain": None}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of one finding.

    Attributes:
        idx: Output of the network.
        label: Name.
        score: Calibrated probability, 0–1.
        state: What the conformal set leaves possible.
        coverage: Share of images whose set holds the truth.
        calibrated: Whether there were enough validation images to calibrate with.
    """

    idx: int
    label: str
    score: float
    state: State
    coverage: float
    calibrated: bool


def tell(
    prepared: Prepared, *, spec: TaskSpec, network: nn.Module, calibration: Calibration, device: torch.device
) -> tuple[Told, ...]:
    """What a network says of one image, in the order of the task's findings.

    Args:
        prepared: The image.
        spec: The task.
        network: Its network, on `device`.
        calibration: Of the network's version.
        device: Where the network is.
    """
    logits = image_logits(network, [prepared.tensor], spec=spec, device=device)[0]
    return told_of(logits, spec=spec, calibration=calibration)


def told_of(logits: Tensor, *, spec: TaskSpec, calibration: Calibration) -> tuple[Told, ...]:
    """As `tell`, from `(findings,)` logits."""
    values = logits.double().numpy()
    told = []
    for label in spec.labels:
        one = calibration.of(label.name)
        probability = float(one.probability(values[label.index - 1 : label.index])[0])
        told.append(
            Told(
                idx=label.index - 1,
                label=label.name,
                score=probability,
                state=one.state(probability),
                coverage=one.coverage,
                calibrated=one.fitted,
            )
        )
    return tuple(told)


def reported(told: Sequence[Told], spec: TaskSpec) -> tuple[ReportedFinding, ...]:
    """The same for a report: a finding is there, or not, where only that is possible."""
    return tuple(
        ReportedFinding(
            name=one.label,
            category=spec.labels.named(one.label).category,
            code=spec.labels.named(one.label).type,
            present=_PRESENT[one.state],
            probability=one.score,
            state=one.state,
        )
        for one in told
    )
