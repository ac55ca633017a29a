"""Noise as a CT reconstruction leaves it: smooth within a slice, and alike in neighbouring slices."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Grid

_GRAIN_MM = 1.0
_SLICE_CORRELATION_MM = 2.5


class SliceNoise:
    """A stream of noise slices; the noise does not depend on how many slices are asked for at once.

    Args:
        rng: Source of randomness.
        grid: Gives the slices' shape and spacing.
        sd_hu: Standard deviation.
    """

    def __init__(self, rng: Generator, grid: Grid, sd_hu: float) -> None:
        self._rng = rng
        self._shape = grid.shape[:2]
        self._sigma = [_GRAIN_MM / spacing for spacing in grid.spacing_mm[:2]]
        self._alike = np.float32(np.exp(-grid.spacing_mm[2] / _SLICE_CORRELATION_MM))
        self._gain = np.float32(sd_hu / _kept(self._sigma))
        self._last: NDArray[np.float32] | None = None

    def add_to(self, hu: NDArray[np.float32]) -> None:
        """Add noise to the next slices, `(X, Y, n)` float32, in place."""
        if self._gain == 0:
            return
        for k in range(hu.shape[2]):
            hu[:, :, k] += self._next()

    def _next(self) -> NDArray[np.float32]:
        white = self._rng.standard_normal(self._shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(white, self._sigma, mode="wrap") * self._gain
        if self._last is not None:
            grain = self._alike * self._last + np.sqrt(1 - self._alike**2) * grain
        self._last = np.asarray(grain, dtype=np.float32)
        return self._last


def _kept(sigma: list[float]) -> float:
    """Standard deviation of unit white noise after the in-plane smoothing."""
    kept = 1.0
    for width in sigma:
        offsets = np.arange(-int(4 * width + 0.5), int(4 * width + 0.5) + 1)
        weights = np.exp(-0.5 * (offsets / width) ** 2)
        kept *= float(np.sqrt(np.sum(weights**2)) / np.sum(weights))
    return kept
