"""How well one label map agrees with another: overlap, surface distance and volume, per label.

Empty structures, as the metrics here and their averages treat them:

    truth   prediction   dice   hd95_mm   volume_error_ml
    empty   empty        nan    nan       0          the structure is not in the image: counts for nothing
    empty   not empty    0      nan       > 0        found where there is none
    voxels  empty        0      nan       < 0        missed
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import GeometryError
from ..geometry import Volume
from ..labels import LabelSet

Mask = NDArray[np.bool_]
Row = dict[str, float]


def dice(prediction: Mask, truth: Mask) -> float:
    """Sørensen-Dice overlap.

    Args:
        prediction: Boolean, any shape.
        truth: Boolean, same shape.

    Returns:
        0–1; nan if both are empty.
    """
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(truth))
    return 2.0 * int(np.count_nonzero(prediction & truth)) / total if total else math.nan


def hd95_mm(prediction: Mask, truth: Mask, *, spacing_mm: tuple[float, ...]) -> float:
    """95th percentile of the surface distances, the larger of both directions.

    A surface voxel is one that an erosion by the 6-neighbourhood removes (voxels on the image's edge are surface).

    Args:
        prediction: `(X, Y, Z)` boolean.
        truth: `(X, Y, Z)` boolean.
        spacing_mm: Distance between voxel centres along each axis.

    Returns:
        Millimetres; nan if either is empty.
    """
    if not prediction.any() or not truth.any():
        return math.nan
    box = _bounding_box(prediction | truth)
    surface_a, surface_b = _surface(prediction[box]), _surface(truth[box])
    to_truth = ndimage.distance_transform_edt(~surface_b, sampling=spacing_mm)[surface_a]
    to_prediction = ndimage.distance_transform_edt(~surface_a, sampling=spacing_mm)[surface_b]
    return float(max(np.percentile(to_truth, 95), np.percentile(to_prediction, 95)))


def volume_error_ml(prediction: Mask, truth: Mask, *, voxel_volume_ml: float) -> float:
    """Predicted minus true volume in millilitres; negative where too little was found."""
    return (int(np.count_nonzero(prediction)) - int(np.count_nonzero(truth))) * voxel_volume_ml


def compare(prediction: Volume, truth: Volume, *, labels: LabelSet, surface: bool = True) -> dict[str, Row]:
    """All metrics of one case.

    Args:
        prediction: `(X, Y, Z)` label indices.
        truth: The same on the same grid.
        labels: The structures to compare.
        surface: Whether to measure distances, the slow part.

    Returns:
        Label name → `dice`, `hd95_mm` (if asked for), `volume_error_ml`.

    Raises:
        GeometryError: If the grids differ.
    """
    if not prediction.grid.matches(truth.grid):
        raise GeometryError(
            f"A prediction must lie on its reference's grid, got shapes {prediction.grid.shape} and "
            f"{truth.grid.shape}. Resample one of them first."
        )
    boxes = _label_boxes(prediction.array, truth.array, count=len(labels))
    rows: dict[str, Row] = {}
    for label in labels:
        box = boxes[label.index - 1]
        found, there = prediction.array[box] == label.index, truth.array[box] == label.index
        row = {"dice": dice(found, there)}
        if surface:
            row["hd95_mm"] = hd95_mm(found, there, spacing_mm=truth.grid.spacing_mm)
        row["volume_error_ml"] = volume_error_ml(found, there, voxel_volume_ml=truth.grid.voxel_volume_ml)
        rows[label.name] = row
    return rows


def mean_of_defined(values: list[float]) -> float:
    """Mean of those values that are not nan; nan if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _surface(mask: Mask) -> Mask:
    eroded: Mask = ndimage.binary_erosion(mask)
    return mask & ~eroded


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def _label_boxes(prediction: NDArray[Any], truth: NDArray[Any], *, count: int) -> list[tuple[slice, ...]]:
    """The box around each label in both maps; an empty box where neither has it."""
    nothing = (slice(0, 0),) * prediction.ndim
    found = ndimage.find_objects(prediction.astype(np.int32), max_label=count)
    there = ndimage.find_objects(truth.astype(np.int32), max_label=count)
    return [_union(a, b) or nothing for a, b in zip(found, there, strict=True)]


def _union(a: tuple[slice, ...] | None, b: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    if a is None or b is None:
        return a or b
    return tuple(slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True))
