"""Where sliding windows lie: as few voxels through the network as the overlap allows, and weights that sum to one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..task import Voxels

_SIGMA_SHARE = 0.125
_SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True)
class AxisWindows:
    """The windows along one axis.

    Attributes:
        size: Voxels of the volume.
        window: Voxels of a window; more than `size` only up to the network's next multiple.
        starts: First voxel of each window, evenly spread, ascending.
    """

    size: int
    window: int
    starts: tuple[int, ...]

    @property
    def voxels(self) -> int:
        """Voxels that pass the network along this axis."""
        return self.window * len(self.starts)

    def weights(self) -> NDArray[np.float32]:
        """`(windows, window)` Gaussian weights, normalised so that they sum to 1 at every voxel of the volume.

        The full weight of a voxel is the product of its three axes' weights, so it is normalised as well: stitching
        needs no second volume that counts.
        """
        offset = np.arange(self.window) - (self.window - 1) / 2
        bell = np.maximum(np.exp(-0.5 * (offset / (_SIGMA_SHARE * self.window)) ** 2), _SMALLEST_WEIGHT)
        total = np.zeros(max(self.size, self.window))
        for start in self.starts:
            total[start : start + self.window] += bell
        normalised = np.stack([bell / total[start : start + self.window] for start in self.starts])
        return normalised.astype(np.float32)


@dataclass(frozen=True)
class WindowPlan:
    """All windows of one volume: every combination of the three axes' windows."""

    axes: tuple[AxisWindows, AxisWindows, AxisWindows]

    @property
    def count(self) -> int:
        """Number of windows."""
        return math.prod(len(axis.starts) for axis in self.axes)

    @property
    def voxels(self) -> int:
        """Voxels that pass the network in all."""
        return math.prod(axis.voxels for axis in self.axes)

    @property
    def window(self) -> Voxels:
        """Size of a window."""
        return self.axes[0].window, self.axes[1].window, self.axes[2].window

    @property
    def padded_shape(self) -> Voxels:
        """Shape of the volume once thin axes are padded to the window."""
        x, y, z = (max(axis.size, axis.window) for axis in self.axes)
        return x, y, z

    def slab_axis(self) -> int:
        """The axis along which a layer of windows holds the fewest voxels."""
        shape, window = [axis.size for axis in self.axes], self.window
        return min(range(3), key=lambda axis: min(window[axis] + 1, shape[axis]) * math.prod(shape) // shape[axis])

    def layers(self, slab_axis: int) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
        """Windows as index triples into the axes' `starts`, layer by layer along `slab_axis`."""
        x, y, z = (range(len(axis.starts)) for axis in self.axes)
        triples = list(itertools.product(x, y, z))
        for layer in range(len(self.axes[slab_axis].starts)):
            yield layer, [triple for triple in triples if triple[slab_axis] == layer]


def plan_windows(shape: Voxels, *, roi_voxels: Voxels, overlap: float, multiple: int, dimension: int = 3) -> WindowPlan:
    """Choose the windows of a volume.

    A thin axis gets a window of its own size, rounded up to what the network takes, never the whole ROI. What that
    saves is spent on longer windows along the other axes: among all windows with no more voxels than the ROI has
    (the same memory) and no axis shorter than the ROI's, those with the fewest voxels through the network win.

    Args:
        shape: Volume at the working spacing.
        roi_voxels: The task's window.
        overlap: Smallest share of a window that overlaps the next, `0 <= overlap < 1`.
        multiple: The network's size multiple.
        dimension: Of the task; in 2 every slice along the last axis is a window of its own.

    Raises:
        InvalidInputError: If `overlap` is out of range.
    """
    if not 0 <= overlap < 1:
        raise InvalidInputError(f"Overlap must lie in [0, 1), got {overlap}. 0.25 is a good value.")
    roi = [round_up(size, multiple) for size in roi_voxels]
    choices = [_choices(*pair, overlap=overlap, multiple=multiple) for pair in zip(shape, roi, strict=True)]
    if dimension == 2:
        roi[2], choices[2] = 1, [AxisWindows(shape[2], 1, tuple(range(shape[2])))]
    limit = math.prod(roi)
    plans = (WindowPlan((x, y, z)) for x, y, z in itertools.product(*choices))
    return min(
        (plan for plan in plans if math.prod(plan.window) <= limit),
        key=lambda plan: (plan.voxels, plan.count, plan.window),
    )


def round_up(size: int, multiple: int) -> int:
    """The next multiple at or above `size`."""
    return -(-size // multiple) * multiple


def _choices(size: int, roi: int, *, overlap: float, multiple: int) -> list[AxisWindows]:
    """For every number of windows that is possible, the shortest window that needs no more."""
    shortest: dict[int, AxisWindows] = {}
    padded = round_up(size, multiple)
    for window in range(min(roi, padded), padded + 1, multiple):
        stride = max(1, int(window * (1 - overlap)))
        count = 1 if window >= size else -(-(size - window) // stride) + 1
        if count not in shortest:
            starts = np.rint(np.linspace(0, max(0, size - window), count)).astype(int)
            shortest[count] = AxisWindows(size, window, tuple(starts.tolist()))
    return list(shortest.values())
