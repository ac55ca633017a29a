"""One structure from a few strokes: intensity histograms and a graph cut (Wang et al., arXiv:1710.04043, eq. 5–7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from ..errors import CancelledError, InvalidInputError
from ..geometry import AnyArray

UNKNOWN, BACKGROUND, FOREGROUND = 0, 1, 2
MOST_VOXELS = 4_000_000
"""Nodes of the graph; the cut of this many takes a few seconds on one core and about 1 GB."""

_BINS = 64
_CERTAIN = 1e-6
_UNPAINTED_SHARE = 0.3
_NEVER_ZERO = 0.01
_Factors = tuple[int, int, int]


def graph_cut(
    image: AnyArray,
    seeds: NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    smoothness: float = 1.0,
    contrast: float = 0.1,
    connected: bool = True,
    most_voxels: int = MOST_VOXELS,
    cancelled: Callable[[], bool] = lambda: False,
) -> NDArray[np.bool_]:
    """Separate one structure from its surroundings.

    An image of more than `most_voxels` is cut on a grid of block means, its finest axes coarsened first, and the
    border is interpolated; the strokes hold at the image's own resolution.

    Args:
        image: `(X, Y, Z)` intensities.
        seeds: Same shape: `UNKNOWN`, `BACKGROUND` or `FOREGROUND`.
        spacing_mm: Of the image.
        smoothness: Weight of the border's length against the intensities, from 0 up.
        contrast: Step in intensity, as a share of the range the strokes cover, that makes a border likely.
        connected: Keep only what hangs together with a foreground seed.
        most_voxels: Size of the graph.
        cancelled: Asked before the cut.

    Returns:
        `(X, Y, Z)` mask.

    Raises:
        InvalidInputError: If nothing is marked as foreground, or an intensity is not finite.
        CancelledError: If `cancelled` answered true.
    """
    import numpymaxflow

    if not (seeds == FOREGROUND).any():
        raise InvalidInputError("A cut must have foreground, got none. Paint some inside the structure.")
    factors = _coarsening(image.shape, spacing_mm, most_voxels)
    values, marks = _block_means(image, factors), _block_marks(seeds, factors)
    if not np.isfinite(values).all():
        raise InvalidInputError("Intensities must be finite, got NaN or infinity. Export the image again.")
    scaled = _scaled(values, marks)
    inside = _likelihood(scaled, marks)
    if cancelled():
        raise CancelledError("The cut was cancelled.")
    cut = numpymaxflow.maxflow(scaled[None], np.stack([1 - inside, inside]), smoothness, contrast, 6)[0] > 0
    if connected:
        cut = _touching(cut, marks == FOREGROUND)
    mask = _fine(cut, factors, image.shape)
    mask[seeds == FOREGROUND] = True
    mask[seeds == BACKGROUND] = False
    return mask


def _coarsening(shape: tuple[int, ...], spacing_mm: tuple[float, float, float], most: int) -> _Factors:
    """Whole voxels per block and axis: the axis with the finest blocks is coarsened until the grid is small enough."""
    factors = [1, 1, 1]
    while np.prod([-(-size // factor) for size, factor in zip(shape, factors, strict=True)]) > most:
        sizes = [
            spacing * factor if factor < size else np.inf
            for spacing, factor, size in zip(spacing_mm, factors, shape, strict=True)
        ]
        factors[int(np.argmin(sizes))] += 1
    return factors[0], factors[1], factors[2]


def _blocks(array: AnyArray, factors: _Factors) -> AnyArray:
    """`(X', fx, Y', fy, Z', fz)`; the last voxels are repeated where an axis is no multiple of its factor."""
    missing = [(0, -size % factor) for size, factor in zip(array.shape, factors, strict=True)]
    padded = np.pad(array, missing, mode="edge") if any(end for _, end in missing) else array
    sizes = [part for size, factor in zip(padded.shape, factors, strict=True) for part in (size // factor, factor)]
    return padded.reshape(sizes)


def _block_means(image: AnyArray, factors: _Factors) -> NDArray[np.float32]:
    means: NDArray[np.float32] = _blocks(image, factors).mean(axis=(1, 3, 5), dtype=np.float32)
    return means


def _block_marks(seeds: NDArray[np.uint8], factors: _Factors) -> NDArray[np.uint8]:
    marks: NDArray[np.uint8] = _blocks(seeds, factors).max(axis=(1, 3, 5))
    return marks


def _scaled(values: NDArray[np.float32], marks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Intensities in [0, 1], where that range is what the strokes cover and half as much again to each side."""
    known = values[marks != UNKNOWN] if (marks == BACKGROUND).any() else values
    low, high = (float(edge) for edge in np.percentile(known, (1, 99)))
    margin = 0.5 * (high - low) or 1.0
    scaled: NDArray[np.float32] = np.clip((values - (low - margin)) / (high - low + 2 * margin), 0, 1)
    return scaled.astype(np.float32)


def _likelihood(scaled: NDArray[np.float32], marks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probability of foreground per voxel, from how often its intensity was painted inside and outside.

    A few strokes never show all there is around a structure, so the image as a whole counts as background too: an
    intensity that nobody painted is more likely outside than inside.
    """
    bins = np.minimum((scaled * _BINS).astype(np.intp), _BINS - 1)
    foreground, background = _density(bins[marks == FOREGROUND]), _density(bins[marks == BACKGROUND])
    share = _UNPAINTED_SHARE if (marks == BACKGROUND).any() else 1.0
    background = (1 - share) * background + share * _density(bins.ravel())
    inside = (foreground / (foreground + background)).astype(np.float32)[bins]
    inside[marks == FOREGROUND] = 1.0
    inside[marks == BACKGROUND] = 0.0
    return np.clip(inside, np.float32(_CERTAIN), np.float32(1 - _CERTAIN))


def _density(bins: NDArray[np.intp]) -> NDArray[np.float64]:
    """How likely each bin is; smoothed the more, the fewer the samples (Silverman's rule), and nowhere zero."""
    counts = np.bincount(bins, minlength=_BINS).astype(float)
    width = max(1.0, 1.06 * float(bins.std()) * bins.size**-0.2) if bins.size else 1.0
    smooth = ndimage.gaussian_filter1d(counts / max(bins.size, 1), width, mode="constant")
    density: NDArray[np.float64] = smooth + _NEVER_ZERO / _BINS
    return density / density.sum()


def _touching(cut: NDArray[np.bool_], foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    components, count = ndimage.label(cut)
    kept = np.zeros(count + 1, dtype=bool)
    kept[components[foreground]] = True
    kept[0] = False
    touching: NDArray[np.bool_] = kept[components]
    return touching


def _fine(cut: NDArray[np.bool_], factors: _Factors, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if factors == (1, 1, 1):
        return cut
    coarse = torch.from_numpy(cut.astype(np.float32))[None, None]
    size = [length * factor for length, factor in zip(cut.shape, factors, strict=True)]
    smooth = functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)[0, 0]
    mask: NDArray[np.bool_] = (smooth[tuple(slice(length) for length in shape)] > 0.5).numpy()
    return mask
