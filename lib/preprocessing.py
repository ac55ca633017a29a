"""The one chain from an image to what a network sees; inference, training and validation all use it.

Reorient to the axis order closest to RAS → resample to the task's spacing or matrix along the image's own axes →
intensity rule over the whole volume → crop to the body. Nothing is rotated, so every step is separable: along each
canonical axis `source index = first + step * working index`, and that pair of numbers is all the inverse needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .errors import GeometryError, InvalidInputError
from .geometry import AnyArray, Grid, Volume, closest_canonical, reorient, resample_label
from .label_maps import bounding_box
from .task import Intensity, Percentiles, TaskSpec, Window

_ANTIALIAS_BEYOND = 1.5
_SLICES_AT_ONCE = 16
_BODY_CELL_MM = 6.0
_BODY_SHARE = 0.02


@dataclass(frozen=True)
class AxisMap:
    """Where the working voxels of one canonical axis lie among the source's.

    Attributes:
        first: Source index (fractional) of working voxel 0.
        step: Source voxels per working voxel.
        size: Working voxels.
        source_size: Source voxels.
    """

    first: float
    step: float
    size: int
    source_size: int

    def coordinates(self) -> NDArray[np.float64]:
        """`(size,)` source index of every working voxel centre."""
        return self.first + self.step * np.arange(self.size)

    def covered(self) -> tuple[int, int]:
        """First and one-past-last source index that the working voxels speak for.

        The working grid and the image share their centre, so at an uncropped end up to half a working voxel may stick
        out or be missing; such an end reaches to the image's border.
        """
        start, stop = self.first - self.step / 2, self.first + self.step * (self.size - 0.5)
        low = 0 if start < self.step / 2 - 0.5 else math.ceil(start)
        high = self.source_size if stop > self.source_size - 0.5 - self.step / 2 else math.ceil(stop)
        return low, high

    def surrounding(self, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Which working voxels lie around source voxels, for linear interpolation back; beyond the ends it is constant.

        Args:
            begin: First source index.
            end: One past the last.

        Returns:
            `(end - begin,)` each: the working voxel below, the one above (the same one on a working voxel), and the
            share of the one above.
        """
        position = ((np.arange(begin, end) - self.first) / self.step).clip(0, self.size - 1)
        lower = np.floor(position + 1e-9).astype(np.int64)
        share = np.maximum(position - lower, 0.0).astype(np.float32)
        return lower, np.where(share > 0, np.minimum(lower + 1, self.size - 1), lower), share

    def cropped(self, start: int, stop: int) -> AxisMap:
        """The same axis, only working voxels `start` to `stop`."""
        return AxisMap(self.first + self.step * start, self.step, stop - start, self.source_size)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One image on its working grid, and the way back.

    Attributes:
        tensor: `(1, X', Y', Z')` float32, RAS-closest axis order, normalised, cropped to the body.
        grid: Working grid of `tensor`.
        source: The image's own grid.
        order: Canonical axis → source axis, as from `geometry.closest_canonical`.
        flips: Which canonical axes are reversed.
        axes: Per canonical axis, where working voxels lie among the (reoriented) source voxels.
    """

    tensor: Tensor
    grid: Grid
    source: Grid
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    axes: tuple[AxisMap, AxisMap, AxisMap]


def prepare(image: Volume, spec: TaskSpec) -> Prepared:
    """Bring an image to what the network of `spec` expects.

    Linear interpolation; where the task's spacing is more than 1.5 times the image's, the triangle widens with the
    ratio, so that no source voxel is skipped and thin structures survive. The source stays in its own dtype; the peak
    is two float32 volumes of the working size.

    Args:
        image: `(X, Y, Z)` intensities (HU for CT), any dtype, any orientation.
        spec: The task.

    Raises:
        InvalidInputError: If an intensity is not finite.
    """
    order, flips = _order_and_flips(image.grid, spec)
    canonical = reorient(image, order, flips)
    axes = _working_axes(canonical.grid, spec)
    whole = _resample(canonical.array, axes)
    lowest, highest = torch.aminmax(whole)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise InvalidInputError("Intensities must be finite, got NaN or infinity. Export the image again.")
    box = _body_box(whole, _grid_of(canonical.grid, axes), threshold=spec.body_threshold)
    normalise(whole, spec.intensity)
    axes = (axes[0].cropped(*box[0]), axes[1].cropped(*box[1]), axes[2].cropped(*box[2]))
    cropped = whole[tuple(slice(*ends) for ends in box)].contiguous()
    return Prepared(cropped[None], _grid_of(canonical.grid, axes), image.grid, order, flips, axes)


def prepare_label(label: Volume, prepared: Prepared) -> NDArray[np.uint8 | np.uint16]:
    """Bring a label map onto the working grid by nearest neighbour.

    Args:
        label: `(X, Y, Z)` label indices, usually on the image's grid; one on another grid is resampled onto it first.
        prepared: The image it belongs to.

    Returns:
        `(X', Y', Z')`, same dtype; values are a subset of the input's.

    Raises:
        GeometryError: If the label is not integer, or does not overlap the image.
    """
    if label.array.dtype.kind not in "iub":
        raise GeometryError(f"A label map must hold integers, got {label.array.dtype}. Round it on purpose first.")
    array = reorient(resample_label(label, grid=prepared.source), prepared.order, prepared.flips).array
    nearest = [np.rint(axis.coordinates()).astype(np.intp).clip(0, axis.source_size - 1) for axis in prepared.axes]
    result: NDArray[np.uint8 | np.uint16] = np.ascontiguousarray(array[np.ix_(*nearest)])
    return result


def normalise(volume: Tensor, intensity: Intensity) -> Tensor:
    """Apply an intensity rule in place.

    Args:
        volume: Float tensor of any shape, the whole volume.
        intensity: The rule.

    Returns:
        `volume` itself, now in `[-1, 1]`.
    """
    if isinstance(intensity, Window):
        volume.sub_(intensity.lower).mul_(2.0 / (intensity.upper - intensity.lower)).sub_(1.0)
        return volume.clamp_(-1.0, 1.0)
    if isinstance(intensity, Percentiles):
        lower, upper = np.percentile(volume.numpy(), (intensity.lower, intensity.upper))
        return _to_range(volume.clamp_(float(lower), float(upper)))
    mean, deviation = _moments_without_zeros(volume)
    zeros = volume == 0
    volume.sub_(mean).div_(deviation)
    volume[zeros] = 0.0
    return _to_range(volume)


def _to_range(volume: Tensor) -> Tensor:
    """Scale minimum and maximum to `[-1, 1]` in place; an image of one value becomes 0."""
    lowest, highest = (float(value) for value in torch.aminmax(volume))
    if highest == lowest:
        return volume.zero_()
    return volume.sub_(lowest).mul_(2.0 / (highest - lowest)).sub_(1.0)


def _moments_without_zeros(volume: Tensor) -> tuple[float, float]:
    """Mean and population standard deviation of the non-zero voxels, in float64 slice by slice."""
    count = int(torch.count_nonzero(volume))
    if count == 0:
        return 0.0, 1.0
    mean = sum(float(part.double().sum()) for part in volume) / count
    squares = sum(float((part[part != 0].double() - mean).square().sum()) for part in volume)
    return mean, math.sqrt(squares / count) or 1.0


def _order_and_flips(grid: Grid, spec: TaskSpec) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """As `closest_canonical`, but what a 2D task sees is always the page, wherever in the patient it lies."""
    order, flips = closest_canonical(grid)
    if spec.dimension == 2 and order[2] != 2:
        return (0, 1, 2), (True, True, False)
    return order, flips


def _working_axes(grid: Grid, spec: TaskSpec) -> tuple[AxisMap, AxisMap, AxisMap]:
    """The uncropped working grid: exactly the task's spacing or matrix, its centre on the image's centre."""

    def one(axis: int) -> AxisMap:
        size = grid.shape[axis]
        if spec.matrix_voxels is not None and spec.matrix_voxels[axis] > 1:
            working = spec.matrix_voxels[axis]
            return AxisMap((size / working - 1) / 2, size / working, working, size)
        if spec.spacing_mm is None or size == 1:
            return AxisMap(0.0, 1.0, size, size)
        step = spec.spacing_mm[axis] / grid.spacing_mm[axis]
        if abs(step - 1.0) * size < 1e-3:
            return AxisMap(0.0, 1.0, size, size)
        working = max(1, round(size / step))
        return AxisMap((size - 1) / 2 - step * (working - 1) / 2, step, working, size)

    return one(0), one(1), one(2)


def _grid_of(canonical: Grid, axes: tuple[AxisMap, AxisMap, AxisMap]) -> Grid:
    matrix = np.diag([*(axis.step for axis in axes), 1.0])
    matrix[:3, 3] = [axis.first for axis in axes]
    return Grid((axes[0].size, axes[1].size, axes[2].size), canonical.affine_ras @ matrix)


def _resample(array: AnyArray, axes: tuple[AxisMap, AxisMap, AxisMap]) -> Tensor:
    """Resample one axis after the other, slices in small groups: only the groups are ever float32 at source size."""
    along_x, along_y, along_z = (_interpolation_matrix(axis) for axis in axes)
    width, height, depth = axes[0].size, axes[1].size, array.shape[2]
    stack = torch.empty((width, height, depth))
    for start in range(0, depth, _SLICES_AT_ONCE):
        part = array[:, :, start : start + _SLICES_AT_ONCE]
        block = torch.from_numpy(np.array(part, dtype=np.float32, order="C"))
        if along_x is not None:
            block = (along_x @ block.flatten(1)).reshape(-1, *block.shape[1:])
        if along_y is not None:
            # A single slice is one product of matrices; as many products with a column it takes fifty times as long.
            block = (block[..., 0] @ along_y.T)[..., None] if block.shape[2] == 1 else along_y @ block
        stack[:, :, start : start + _SLICES_AT_ONCE] = block
    return stack if along_z is None else stack @ along_z.T


def _interpolation_matrix(axis: AxisMap) -> Tensor | None:
    """`(size, source_size)` float32 rows of weights that sum to 1; None for the identity.

    A row is a triangle around the voxel's centre, one source voxel to each side (linear interpolation), wider beyond
    `_ANTIALIAS_BEYOND`. Coordinates outside the image take its border's value.
    """
    if axis.step == 1.0 and axis.first == 0.0 and axis.size == axis.source_size:
        return None
    half_width = max(1.0, axis.step / _ANTIALIAS_BEYOND)
    centres = axis.coordinates().clip(0, axis.source_size - 1)
    distance = np.abs(centres[:, None] - np.arange(axis.source_size)[None, :])
    weights = np.maximum(0.0, 1.0 - distance / half_width)
    weights /= weights.sum(axis=1, keepdims=True)
    return torch.from_numpy(weights.astype(np.float32))


def _body_box(volume: Tensor, grid: Grid, *, threshold: float | None) -> tuple[tuple[int, int], ...]:
    """Bounding box of what is body, from cells of about 6 mm, one cell of margin; the whole volume when there is none.

    Components smaller than a fiftieth of the largest (cables, noise) do not count; arms beside the trunk do.
    """
    whole = tuple((0, size) for size in grid.shape)
    if threshold is None:
        return whole
    cell = [max(1, round(_BODY_CELL_MM / spacing)) for spacing in grid.spacing_mm]
    mask = (volume[:: cell[0], :: cell[1], :: cell[2]] > threshold).numpy()
    components, _ = ndimage.label(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept = np.flatnonzero(sizes >= _BODY_SHARE * sizes.max())
    body = np.isin(components, kept[kept > 0])
    cells = bounding_box(body)
    if cells is None:
        return whole
    return tuple(
        (max(0, (first - 1) * step), min(size, (end + 1) * step))
        for (first, end), step, size in zip(cells, cell, grid.shape, strict=True)
    )
