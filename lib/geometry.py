"""Grids and volumes: shapes, affines, frames, and moving label maps between grids without inventing labels.

Arrays are `(X, Y, Z)` in index order `(i, j, k)`; `affine_ras` is the 4×4 matrix from index to millimetres with
x to the patient's Right, y Anterior, z Superior (NIfTI's frame). DICOM's frame is LPS; only `lib/dicom` speaks it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from .errors import GeometryError

Affine = NDArray[np.float64]
AnyArray = NDArray[Any]

MOST_VOXELS = 1 << 31
"""Of an image that is read: as many as 2,048 slices of 1024×1024 have."""

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def refuse_huge(sizes: Sequence[int]) -> None:
    """Refuse an image by its header, before its voxels take memory: they may be packed a thousand times smaller.

    Args:
        sizes: Along each axis.

    Raises:
        GeometryError: If there are more than `MOST_VOXELS`.
    """
    voxels = math.prod(int(size) for size in sizes)
    if voxels > MOST_VOXELS:
        raise GeometryError(f"An image must have at most {MOST_VOXELS:,} voxels, got {voxels:,}. Crop or resample it.")


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie.

    Attributes:
        shape: Voxels along i, j, k.
        affine_ras: `(4, 4)` index → RAS mm; voxel centres.

    Raises:
        GeometryError: If the shape is not three positive numbers, or the affine is not a finite, invertible 4×4.
    """

    shape: tuple[int, int, int]
    affine_ras: Affine

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"A grid must have three positive sizes, got {self.shape}.")
        affine = np.asarray(self.affine_ras, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("An affine must be a finite 4×4 matrix. The image's header is damaged.")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError("An affine must be invertible, got a singular one. The image's header is damaged.")
        affine = affine.copy()
        affine.setflags(write=False)
        object.__setattr__(self, "affine_ras", affine)
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along i, j, k."""
        x, y, z = np.linalg.norm(self.affine_ras[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def affine_lps(self) -> Affine:
        """`(4, 4)` index → LPS mm, DICOM's and ITK's frame."""
        return ras_to_lps(self.affine_ras)

    def points_at(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """`(n, 3)` LPS mm of `(n, 3)` (fractional) indices."""
        return np.asarray(indices @ self.affine_lps[:3, :3].T + self.affine_lps[:3, 3], dtype=np.float64)

    def indices_of(self, points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """`(n, 3)` fractional indices of `(n, 3)` points in LPS mm."""
        inverse = np.linalg.inv(self.affine_lps)
        return np.asarray(points_lps @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine_ras[:3, :3]))) / 1000.0

    def matches(self, other: Grid, *, tolerance_mm: float = 1e-2) -> bool:
        """Whether both have one shape and no corner of theirs lies further apart than `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners_ras() - other.corners_ras()).max() <= tolerance_mm)

    def corners_ras(self) -> NDArray[np.float64]:
        """`(8, 3)` RAS mm of the outermost voxel centres."""
        ends = [(0, size - 1) for size in self.shape]
        index = np.array([(i, j, k, 1) for i in ends[0] for j in ends[1] for k in ends[2]], dtype=np.float64)
        corners: NDArray[np.float64] = (index @ self.affine_ras.T)[:, :3]
        return corners

    def index_of(self, other: Grid) -> Affine:
        """`(4, 4)` matrix from `other`'s indices to this grid's (fractional) indices."""
        matrix: Affine = np.linalg.inv(self.affine_ras) @ other.affine_ras
        return matrix


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a grid.

    Attributes:
        array: `(X, Y, Z)`; float32 or int16 intensities, or an unsigned label map.
        grid: Where they lie.

    Raises:
        GeometryError: If array and grid disagree in shape.
    """

    array: AnyArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise GeometryError(f"An array must have its grid's shape {self.grid.shape}, got {self.array.shape}.")


def ras_to_lps(affine: Affine) -> Affine:
    """Change the world frame of an index → mm affine from RAS to LPS (or back: the change is its own inverse)."""
    changed: Affine = _RAS_TO_LPS @ affine
    return changed


lps_to_ras = ras_to_lps


def three_sizes(array: AnyArray) -> tuple[int, int, int]:
    """The shape of an `(X, Y, Z)` array, as the three numbers it is.

    Raises:
        GeometryError: If the array has another number of axes.
    """
    if array.ndim != 3:
        raise GeometryError(f"A volume must have three axes, got {array.ndim} with shape {array.shape}.")
    return int(array.shape[0]), int(array.shape[1]), int(array.shape[2])


def closest_canonical(grid: Grid) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Axis order and flips that bring a grid closest to RAS, without interpolation.

    Returns:
        `order[a]`: which index axis becomes canonical axis `a`; `flips[a]`: whether it is then reversed.
    """
    orientation = io_orientation(grid.affine_ras)
    order = np.argsort(orientation[:, 0])
    flips = orientation[order, 1] < 0
    return (int(order[0]), int(order[1]), int(order[2])), (bool(flips[0]), bool(flips[1]), bool(flips[2]))


def reorient(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """Permute and reverse axes; voxels stay where they are in the patient.

    Args:
        volume: `(X, Y, Z)`.
        order: As from `closest_canonical`.
        flips: As from `closest_canonical`.

    Returns:
        A view on the same voxels, on the equivalent grid.
    """
    array = np.transpose(volume.array, order)
    array = np.flip(array, [axis for axis in range(3) if flips[axis]])
    return Volume(array, reorient_grid(volume.grid, order, flips))


def reorient_grid(grid: Grid, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Grid:
    """The same voxels with axes permuted and reversed; arguments as for `reorient`."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for axis, source in enumerate(order):
        matrix[source, axis] = -1.0 if flips[axis] else 1.0
        if flips[axis]:
            matrix[source, 3] = grid.shape[source] - 1
    x, y, z = (grid.shape[source] for source in order)
    return Grid((x, y, z), grid.affine_ras @ matrix)


def same_voxels(first: Grid, second: Grid) -> bool:
    """Whether both hold the same voxels, whatever the order and direction of their axes."""
    return reorient_grid(first, *closest_canonical(first)).matches(reorient_grid(second, *closest_canonical(second)))


def restore_orientation(array: AnyArray, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> AnyArray:
    """Undo `reorient` on an array of the canonical shape."""
    for axis in range(3):
        if flips[axis]:
            array = np.flip(array, axis)
    return np.transpose(array, np.argsort(order))


def resample_label(label: Volume, *, grid: Grid) -> Volume:
    """Bring a label map onto another grid by nearest neighbour, without inventing labels.

    Axis flips and permutations on the same physical grid are exact.

    Args:
        label: `(X, Y, Z)` integer label indices.
        grid: The target.

    Returns:
        Same dtype on `grid`; values are a subset of the input's; 0 outside the input.

    Raises:
        GeometryError: If the label has voxels but none of them falls onto `grid`.
    """
    if label.grid.matches(grid):
        return Volume(label.array, grid)
    matrix = label.grid.index_of(grid)
    array = _axis_aligned(label.array, matrix, grid.shape)
    if array is None:
        array = ndimage.affine_transform(
            label.array, matrix[:3, :3], matrix[:3, 3], grid.shape, order=0, mode="grid-constant", cval=0
        )
    if label.array.any() and not array.any():
        raise GeometryError(
            f"A label must overlap its image, got none of its voxels inside. "
            f"Label grid {label.grid.shape}, image grid {grid.shape}: check that both belong to one series."
        )
    return Volume(array, grid)


def _axis_aligned(array: AnyArray, matrix: Affine, shape: tuple[int, int, int]) -> AnyArray | None:
    """Nearest-neighbour resampling by fancy indexing, when every target axis runs along one source axis."""
    linear = matrix[:3, :3]
    source_of = np.argmax(np.abs(linear), axis=0)
    rest = linear.copy()
    rest[source_of, range(3)] = 0.0
    if len(set(source_of.tolist())) != 3 or (np.abs(rest) * np.array(shape)).max() > 1e-2:
        return None
    result = np.transpose(array, source_of)
    for axis in range(3):
        source = source_of[axis]
        wanted = np.rint(linear[source, axis] * np.arange(shape[axis]) + matrix[source, 3] - 1e-6).astype(np.int64)
        inside = (wanted >= 0) & (wanted < array.shape[source])
        result = np.take(result, np.clip(wanted, 0, array.shape[source] - 1), axis=axis)
        if not inside.all():
            result[(slice(None),) * axis + (~inside,)] = 0
    return result
