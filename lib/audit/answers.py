"""Asks a network about images as they are and as they were changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import CancelledError
from ..geometry import Volume
from ..label_maps import Mask
from ..models.calibration import Calibration
from ..networks.whole_image import image_logits
from ..preprocessing import prepare
from ..task import TaskSpec
from ..trainers.cases import FindingsCase
from . import changes

Progress = Callable[[float, str], None]
RegionOf = Callable[[FindingsCase, Volume], Mask]

AS_IT_IS, NO_REGION, NO_CORNERS = "as it is", "region removed", "corners covered"
MARKED = {corner: f"marker {corner}" for corner in changes.CORNERS}
"""Corner → name of the change."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """What a network said.

    Attributes:
        spec: The task.
        cases: The images, in their order.
        probabilities: Change → `(images, findings)` calibrated probabilities; `AS_IT_IS` among them, and nan where the
            region of an image is empty.
        perturbed: Names of the small changes among them.
    """

    spec: TaskSpec
    cases: Sequence[FindingsCase]
    probabilities: Mapping[str, NDArray[np.float64]]
    perturbed: tuple[str, ...]


def ask(
    cases: Sequence[FindingsCase],
    *,
    spec: TaskSpec,
    network: nn.Module,
    calibration: Calibration,
    device: torch.device,
    region_of: RegionOf | None = None,
    progress: Progress = lambda fraction, phrase: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Answers:
    """Ask about every image, and every change of it; memory holds one image at a time.

    Args:
        cases: At least one.
        spec: The task.
        network: Its network, on `device`.
        calibration: Of the network's version.
        device: Where the network is.
        region_of: Where the finding would be; None: that is not known.
        progress: Told after each image.
        cancelled: Asked before each image.

    Raises:
        CancelledError: If `cancelled` answers true.
        CarinaError: As reading an image and `preprocessing.prepare` do.
    """
    rows: list[Mapping[str, NDArray[np.float64]]] = []
    for position, case in enumerate(cases):
        if cancelled():
            raise CancelledError(f"The audit was cancelled after {position} of {len(cases)} images.")
        image = case.load()
        wanted = _changes_of(case, image, region_of)
        tensors = [prepare(change(image), spec).tensor for change in wanted.values()]
        logits = image_logits(network, tensors, spec=spec, device=device).double()
        rows.append(dict(zip(wanted, _calibrated(logits.numpy(), spec, calibration), strict=True)))
        progress((position + 1) / len(cases), f"asked about {position + 1} of {len(cases)} images")
    names = list(dict.fromkeys(name for row in rows for name in row))
    unknown = np.full(spec.out_channels, np.nan)
    return Answers(
        spec=spec,
        cases=cases,
        probabilities={name: np.stack([row.get(name, unknown) for row in rows]) for name in names},
        perturbed=tuple(changes.perturbations("")),
    )


def _changes_of(case: FindingsCase, image: Volume, region_of: RegionOf | None) -> dict[str, changes.Change]:
    made: dict[str, changes.Change] = {
        AS_IT_IS: lambda image: image,
        NO_CORNERS: changes.without_corners,
        **{name: partial(changes.with_marker, corner=corner) for corner, name in MARKED.items()},
        **changes.perturbations(case.image_id),
    }
    mask = None if region_of is None else region_of(case, image)
    if mask is not None and mask.any():
        made[NO_REGION] = partial(changes.without_region, mask=mask)
    return made


def _calibrated(logits: NDArray[np.float64], spec: TaskSpec, calibration: Calibration) -> NDArray[np.float64]:
    columns = [calibration.of(label.name).probability(logits[:, label.index - 1]) for label in spec.labels]
    return np.stack(columns, axis=1)
