"""How well one label map agrees with another: overlap, surface distance and volume, per label.

Empty structures, as the metrics here and their averages treat them:

    truth   prediction   dice   hd95_mm   volume_error_ml
    empty   empty        nan    nan       0          the structure is not in the image: counts for nothing
    empty   not empty    0      nan       > 0        found where there is none
    voxels  empty        0      nan       < 0        missed

A Dice is only worth something against the Dice that chance would give, which for a large structure is far from 0:
`chance_dice` is the expected Dice of as many voxels drawn in random places, or under the names of random labels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import GeometryError
from ..geometry import Volume
from ..label_maps import Mask, mask_of
from ..labels import LabelSet

Row = dict[str, float]

_DOMINATING_SHARE = 0.8
"""A label with more of a case's labelled voxels is right even if every structure gets its name."""


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

    A surface voxel is one that an erosion by the 6-neighbourhood removes (voxels on the image's edge are surface). In
    an image of a single slice the surface is the outline on that slice, or every voxel would be on it.

    Args:
        prediction: `(X, Y, Z)` boolean, all of the image along axes of one voxel.
        truth: `(X, Y, Z)` boolean, likewise.
        spacing_mm: Distance between voxel centres along each axis.

    Returns:
        Millimetres; nan if either is empty.
    """
    distances = _surface_distances(prediction, truth, spacing_mm=spacing_mm)
    return math.nan if distances is None else float(max(np.percentile(one, 95) for one in distances))


def surface_dice(prediction: Mask, truth: Mask, *, spacing_mm: tuple[float, ...], tolerance_mm: float) -> float:
    """Share of both surfaces that lies within a tolerance of the other one (Nikolov et al., arXiv:1809.04430).

    Args:
        prediction: `(X, Y, Z)` boolean.
        truth: `(X, Y, Z)` boolean.
        spacing_mm: Distance between voxel centres along each axis.
        tolerance_mm: What still counts as agreeing.

    Returns:
        0–1; nan if either is empty. Surfaces are counted in voxels, as in `hd95_mm`.
    """
    distances = _surface_distances(prediction, truth, spacing_mm=spacing_mm)
    return math.nan if distances is None else float(np.mean(np.concatenate(distances) <= tolerance_mm))


def volume_error_ml(prediction: Mask, truth: Mask, *, voxel_volume_ml: float) -> float:
    """Predicted minus true volume in millilitres; negative where too little was found."""
    return (int(np.count_nonzero(prediction)) - int(np.count_nonzero(truth))) * voxel_volume_ml


def chance_dice(prediction: Mask, truth: Mask, *, inside: int, labelled: int, voxels: int) -> float:
    """The Dice to expect of a drawing that knows nothing.

    Two ways of knowing nothing, of which the better one counts: the drawn voxels lie anywhere in the image, or those of
    them that lie on some structure are on a random one of its voxels, whichever structure it is. A label with most of a
    case's labelled voxels is not asked the second, because naming everything after it is then right.

    Args:
        prediction: Boolean, any shape that holds every voxel drawn.
        truth: Boolean, same shape.
        inside: Voxels of `prediction` where the reference has any label.
        labelled: Voxels of the image where the reference has any label.
        voxels: Of the image.

    Returns:
        0–1; nan if both are empty.
    """
    drawn, there = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    if not drawn + there:
        return math.nan
    overlap = drawn * there / voxels
    if labelled and there <= _DOMINATING_SHARE * labelled:
        overlap = max(overlap, inside * there / labelled)
    return 2.0 * overlap / (drawn + there)


def compare(prediction: Volume, truth: Volume, *, labels: LabelSet, surface: bool = True) -> dict[str, Row]:
    """All metrics of one case.

    Args:
        prediction: `(X, Y, Z)` label map of `labels`.
        truth: The same on the same grid.
        labels: The structures to compare.
        surface: Whether to measure distances, the slow part.

    Returns:
        Label name → `dice`, `hd95_mm` (if asked for), `volume_error_ml`, `reference_ml` and `chance_dice`.

    Raises:
        GeometryError: If the grids differ.
    """
    if not prediction.grid.matches(truth.grid):
        raise GeometryError(
            f"A prediction must lie on its reference's grid, got shapes {prediction.grid.shape} and "
            f"{truth.grid.shape}. Resample one of them first."
        )
    boxes = _label_boxes(prediction.array, truth.array, labels)
    labelled = int(np.count_nonzero(truth.array))
    voxel_volume_ml = truth.grid.voxel_volume_ml
    rows: dict[str, Row] = {}
    for label in labels:
        box = boxes[label.index - 1]
        found, there = mask_of(prediction.array[box], label, labels), mask_of(truth.array[box], label, labels)
        row = {"dice": dice(found, there)}
        if surface:
            row["hd95_mm"] = hd95_mm(found, there, spacing_mm=truth.grid.spacing_mm)
        row["volume_error_ml"] = volume_error_ml(found, there, voxel_volume_ml=voxel_volume_ml)
        row["reference_ml"] = int(np.count_nonzero(there)) * voxel_volume_ml
        inside = int(np.count_nonzero(found & (truth.array[box] > 0)))
        row["chance_dice"] = chance_dice(found, there, inside=inside, labelled=labelled, voxels=truth.array.size)
        rows[label.name] = row
    return rows


def mean_of_defined(values: list[float]) -> float:
    """Mean of those values that are not nan; nan if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _surface_distances(
    prediction: Mask, truth: Mask, *, spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Of each surface voxel the distance to the other surface: prediction's, then truth's; None if either is empty."""
    if not prediction.any() or not truth.any():
        return None
    long = [axis for axis, size in enumerate(prediction.shape) if size > 1] or [0]
    shape, spacing_mm = [prediction.shape[axis] for axis in long], tuple(spacing_mm[axis] for axis in long)
    prediction, truth = prediction.reshape(shape), truth.reshape(shape)
    box = _bounding_box(prediction | truth)
    drawn, there = _surface(prediction[box]), _surface(truth[box])
    to_truth = ndimage.distance_transform_edt(~there, sampling=spacing_mm)[drawn]
    to_prediction = ndimage.distance_transform_edt(~drawn, sampling=spacing_mm)[there]
    return to_truth, to_prediction


def _surface(mask: Mask) -> Mask:
    eroded: Mask = ndimage.binary_erosion(mask)
    return mask & ~eroded


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def _label_boxes(prediction: NDArray[Any], truth: NDArray[Any], labels: LabelSet) -> list[tuple[slice, ...]]:
    """The box around each label in both maps, an empty one where neither has it.

    It is a voxel wider than the label where the image is, so that only an image of one slice gives boxes of one.
    """
    nothing = (slice(0, 0),) * prediction.ndim
    found, there = _boxes(prediction, labels), _boxes(truth, labels)
    unions = (_union(a, b) for a, b in zip(found, there, strict=True))
    return [
        nothing if union is None else tuple(slice(max(0, one.start - 1), one.stop + 1) for one in union)
        for union in unions
    ]


def _boxes(array: NDArray[Any], labels: LabelSet) -> list[tuple[slice, ...] | None]:
    boxes: list[tuple[slice, ...] | None]
    if labels.overlapping:
        masks = [mask_of(array, label, labels).astype(np.uint8) for label in labels]
        boxes = [ndimage.find_objects(mask, max_label=1)[0] for mask in masks]
    else:
        boxes = ndimage.find_objects(array.astype(np.int32), max_label=len(labels))
    return boxes


def _union(a: tuple[slice, ...] | None, b: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    if a is None or b is None:
        return a or b
    return tuple(slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True))
