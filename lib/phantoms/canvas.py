"""Paints signed distances onto one slab of a voxel grid, with partial volume in the image and exact labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .shapes import Distance, Points, Vector

Window = tuple[slice, slice, slice]
Shape = Callable[[Points], Distance]
Box = tuple[Vector, Vector]
EVERYWHERE: Window = (slice(None), slice(None), slice(None))


class Canvas:
    """Slices `start` to `stop` of a grid.

    An image voxel becomes a mixture by the share of the voxel that a shape covers; a label voxel belongs to a shape
    exactly when its centre lies inside.

    Args:
        grid: The whole grid, RAS.
        start: First slice along k.
        stop: One past the last.

    Attributes:
        hu: `(X, Y, stop - start)` float32, air to begin with.
        label: Same shape, uint8.
        points: RAS mm of the voxel centres.
    """

    def __init__(self, grid: Grid, start: int, stop: int) -> None:
        shape = (grid.shape[0], grid.shape[1], stop - start)
        self.hu: NDArray[np.float32] = np.full(shape, -1000, dtype=np.float32)
        self.label: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
        self._start = np.array([0, 0, start])
        self._to_index = np.linalg.inv(grid.affine_ras)
        self._width = np.float32(np.prod(grid.spacing_mm) ** (1 / 3))
        index = np.ogrid[: shape[0], : shape[1], start:stop]
        matrix = grid.affine_ras.astype(np.float32)
        x, y, z = (
            np.broadcast_to(sum(row[axis] * index[axis].astype(np.float32) for axis in range(3)) + row[3], shape)
            for row in matrix[:3]
        )
        self.points: Points = (x, y, z)

    def window(self, box: Box, *, margin_mm: float = 0.0) -> Window | None:
        """The smallest index window that holds a box in RAS mm, or None where they do not meet."""
        low, high = (np.asarray(corner, dtype=np.float64) for corner in box)
        low, high = np.minimum(low, high) - margin_mm - self._width, np.maximum(low, high) + margin_mm + self._width
        picks = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        corners = np.where(picks, high, low) @ self._to_index[:3, :3].T + self._to_index[:3, 3] - self._start
        first = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
        last = np.minimum(np.ceil(corners.max(axis=0)) + 1, self.hu.shape).astype(int)
        if (last <= first).any():
            return None
        i, j, k = (slice(int(low_), int(high_)) for low_, high_ in zip(first, last, strict=True))
        return i, j, k

    def points_in(self, window: Window) -> Points:
        """Voxel centres of a window."""
        x, y, z = (coordinate[window] for coordinate in self.points)
        return x, y, z

    def paint(self, distance: Distance, hu: float, *, label: int | None = None, window: Window = EVERYWHERE) -> None:
        """Lay a shape over what is there.

        Args:
            distance: Signed distance over the window, mm.
            hu: What the shape is made of.
            label: Label index of the shape; None leaves the label map as it is.
            window: Where `distance` lies.
        """
        share = np.clip(np.float32(0.5) - distance / self._width, 0, 1)
        target = self.hu[window]
        target += share * (np.float32(hu) - target)
        if label is not None:
            self.label[window][distance <= 0] = label

    def paint_shape(
        self, shape: Shape, hu: float, *, box: Box, margin_mm: float = 0.0, label: int | None = None
    ) -> None:
        """Lay a small shape over what is there, touching only the voxels around `box`."""
        window = self.window(box, margin_mm=margin_mm)
        if window is not None:
            self.paint(shape(self.points_in(window)), hu, label=label, window=window)
