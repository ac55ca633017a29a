"""Pictures for people: slices of an image with label maps laid over them, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..geometry import Volume, closest_canonical, reorient
from ..images import write_atomically
from ..label_maps import colour_table
from ..task import TaskSpec, Window

_OPACITY = 0.5
_LEGEND_INCHES = 2.2
"""A column of the legend, whose longest names have about 17 letters."""
_PLANES = ("axial", "coronal", "sagittal")


def write_overlay(path: Path, image: Volume, label: Volume, spec: TaskSpec) -> None:
    """Draw one label map: the three planes through the middle of what it labels, or the one picture of a 2D image.

    Args:
        path: `.png`, replaced atomically.
        image: `(X, Y, Z)` intensities.
        label: On the image's grid.
        spec: Gives window, colours and names.
    """
    planes = _PLANES if min(image.grid.shape) > 1 else _PLANES[:1]
    figure = Figure(figsize=(4.6 * len(planes), 5.4), layout="constrained", facecolor="black")
    for column, plane in enumerate(planes):
        axes = figure.add_subplot(1, len(planes), column + 1)
        _draw(axes, image, label, spec, plane=plane, centre=_centre_of(label))
    _finish(figure, path, spec)


def write_comparison(path: Path, image: Volume, labels: Mapping[str, Volume], spec: TaskSpec) -> None:
    """Draw several label maps of one image side by side, each in axial and coronal view.

    Args:
        path: `.png`, replaced atomically.
        image: `(X, Y, Z)` intensities.
        labels: Title → label map on the image's grid; the first decides which slices are shown.
        spec: Gives window, colours and names.
    """
    centre = _centre_of(next(iter(labels.values())))
    figure = Figure(figsize=(4.4 * len(labels), 8.2), layout="constrained", facecolor="black")
    for column, (title, label) in enumerate(labels.items()):
        for row, plane in enumerate(("axial", "coronal")):
            axes = figure.add_subplot(2, len(labels), row * len(labels) + column + 1)
            _draw(axes, image, label, spec, plane=plane, centre=centre)
            if row == 0:
                axes.set_title(title, color="white", fontsize=13)
    _finish(figure, path, spec)


def write_heat(path: Path, image: Volume, heat: Volume, *, title: str, spec: TaskSpec) -> None:
    """Draw a heat map over its image: the hotter, the more it covers.

    Args:
        path: `.png`, replaced atomically.
        image: `(X, Y, Z)` intensities; the axial slice with the most heat is drawn.
        heat: On the image's grid, 0–1.
        title: Over the picture.
        spec: Gives the window.
    """
    order = closest_canonical(image.grid)
    canonical, warm = reorient(image, *order), reorient(heat, *order).array
    at = int(warm.sum(axis=(0, 1)).argmax())
    lower, upper = _window(image, spec)
    spacing = canonical.grid.spacing_mm
    figure = Figure(figsize=(5.4, 5.8), layout="constrained", facecolor="black")
    axes = figure.add_subplot()
    shown: dict[str, Any] = {"origin": "lower", "aspect": spacing[1] / spacing[0]}
    axes.imshow(_facing(canonical.array[:, :, at], 2), cmap="gray", vmin=lower, vmax=upper, **shown)
    plane = _facing(warm[:, :, at], 2)
    axes.imshow(plane, cmap="inferno", vmin=0, vmax=1, alpha=_OPACITY * np.clip(plane, 0, 1), **shown)
    axes.set_axis_off()
    axes.set_title(title, color="white")
    FigureCanvasAgg(figure)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


def _centre_of(label: Volume) -> tuple[int, int, int]:
    """Median voxel of what is labelled, of the rarest label along the slices, in canonical axes."""
    canonical = reorient(label, *closest_canonical(label.grid)).array
    if not canonical.any():
        return tuple(size // 2 for size in canonical.shape)  # type: ignore[return-value]
    values, counts = np.unique(canonical[canonical > 0], return_counts=True)
    rarest = np.argwhere(canonical == values[np.argmin(counts)])
    x, y, z = (int(value) for value in np.median(rarest, axis=0))
    return x, y, z


def _draw(axes: Any, image: Volume, label: Volume, spec: TaskSpec, *, plane: str, centre: Sequence[int]) -> None:
    """One slice as radiologists look at it: the patient's right on the left, front or head up."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    order = closest_canonical(image.grid)
    canonical = reorient(image, *order)
    at = min(centre[axis], canonical.grid.shape[axis] - 1)
    grey = np.take(canonical.array, at, axis=axis).astype(np.float32)
    marks = np.take(reorient(label, *order).array, at, axis=axis)
    spacing = [step for index, step in enumerate(canonical.grid.spacing_mm) if index != axis]
    lower, upper = _window(image, spec)
    aspect = spacing[1] / spacing[0]
    shown = {"origin": "lower", "aspect": aspect, "interpolation": "nearest"}
    axes.imshow(_facing(grey, axis), cmap="gray", vmin=lower, vmax=upper, **shown)
    axes.imshow(_facing(_coloured(marks, spec), axis), **shown)
    axes.set_axis_off()


def _facing(plane: NDArray[Any], axis: int) -> NDArray[Any]:
    """`(first, second, …)` of a canonical plane → rows and columns; x runs towards the patient's Right, so flip it."""
    turned = np.swapaxes(plane, 0, 1)
    return turned[:, ::-1] if axis != 0 else turned


def _coloured(marks: NDArray[Any], spec: TaskSpec) -> NDArray[np.float32]:
    colours = colour_table(spec.labels)
    opacity = np.where(np.arange(len(colours)) > 0, _OPACITY, 0.0)
    coloured: NDArray[np.float32] = np.column_stack([colours, opacity]).astype(np.float32)[marks]
    return coloured


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _window(image: Volume, spec: TaskSpec) -> tuple[float, float]:
    if isinstance(spec.intensity, Window):
        return spec.intensity.lower, spec.intensity.upper
    low, high = np.percentile(image.array, (1, 99))
    return float(low), float(high)


def _finish(figure: Figure, path: Path, spec: TaskSpec) -> None:
    shown = list(spec.labels)[:12]
    handles = [Patch(color=_rgb(entry.colour), label=entry.name) for entry in shown]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), max(1, int(figure.get_figwidth() / _LEGEND_INCHES))),
        frameon=False,
        labelcolor="white",
    )
    FigureCanvasAgg(figure)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
