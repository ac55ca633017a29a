"""A picture of what a model draws: the image with coloured labels, one panel per label map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Volume, closest_canonical, reorient
from ..images import write_atomically
from ..label_maps import colour_table
from ..labels import LabelSet

_OPACITY = 0.45
_INCHES = 4.0


def write_overlay(path: Path, image: Volume, panels: Sequence[tuple[str, Volume]], *, labels: LabelSet) -> None:
    """Draw one axial slice, as a radiologist sees it, once per label map.

    The slice is the one on which the last panel has most labelled voxels.

    Args:
        path: `.png`, written atomically.
        image: `(X, Y, Z)` intensities.
        panels: Title and label map on the image's grid, left to right; the last one is the reference.
        labels: For the colours.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order, flips = closest_canonical(image.grid)
    upright = reorient(image, order, flips)
    maps = [(title, reorient(label, order, flips).array) for title, label in panels]
    position = int(np.argmax(np.count_nonzero(maps[-1][1], axis=(0, 1))))
    spacing = upright.grid.spacing_mm
    grey = _grey(upright.array[:, :, position])
    figure = Figure(figsize=(_INCHES * len(maps), _INCHES), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for column, (title, array) in enumerate(maps):
        axes = figure.add_subplot(1, len(maps), column + 1)
        axes.imshow(_page(_blend(grey, array[:, :, position], labels)), aspect=spacing[1] / spacing[0])
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    write_atomically(path, lambda temporary: canvas.print_png(str(temporary)))


def _grey(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Scale the middle 98 % of the intensities to 0–1."""
    low, high = np.percentile(plane, [1, 99])
    scaled: NDArray[np.float64] = np.clip((plane.astype(np.float64) - low) / max(high - low, 1e-6), 0, 1)
    return scaled


def _blend(grey: NDArray[np.float64], label: NDArray[Any], labels: LabelSet) -> NDArray[np.float64]:
    """`(X, Y, 3)` colours, 0–1."""
    opacity = np.where(label > 0, _OPACITY, 0.0)[..., None]
    blended: NDArray[np.float64] = grey[..., None] * (1 - opacity) + colour_table(labels)[label] * opacity
    return blended


def _page(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """From `(x to the right, y to the front)` to rows and columns: the patient's right on the left, front on top."""
    page: NDArray[np.float64] = np.flip(plane.transpose(1, 0, 2), axis=(0, 1))
    return page
