"""What can be measured of a label map without knowing the truth: sizes, pieces, holes, places and coarse shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Volume, closest_canonical, reorient
from ..label_maps import Mask, mask_of
from ..labels import LabelSet
from .pieces import drop_islands, fill_holes
from .shapes import CoarseGrid, Numbers

_MOST_VOXELS = 2_000_000
_MOST_NUMBERS = 8192
_LONGEST_SIDE = 24
_SHORTEST_SIDE = 4
_SMALLEST_PIECE = 0.2
"""Of a structure, for what is taken as its place: an island far away must not make all others look misplaced."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawing:
    """One label map, measured; every array has one entry per structure.

    Attributes:
        volumes_ml: Of each structure.
        apart: Share of its voxels outside its largest piece, 0–1.
        holes: Voxels of its holes, as a share of its own.
        leftness_mm: Where its centre lies from the patient's right to the left; nan if it has no voxels.
        masks: `(structures, cells)` coarse masks; zeros if nothing is drawn at all.
    """

    volumes_ml: Values
    apart: Values
    holes: Values
    leftness_mm: Values
    masks: Numbers


def measure(label: Volume, *, labels: LabelSet, names: Sequence[str], dimension: int) -> Drawing:
    """Measure a label map; a large one is thinned out first.

    Args:
        label: `(X, Y, Z)` label map of `labels`, any orientation.
        labels: What the values mean.
        names: The structures to measure.
        dimension: Of the task: 2 or 3.
    """
    array, spacing_mm = _thinned(label)
    cells = coarse_cells(len(names), dimension)
    count, voxel_ml = len(names), math.prod(spacing_mm) / 1000.0
    volumes, apart, holes = np.zeros((3, count))
    leftness = np.full(count, math.nan)
    masks = np.zeros((count, math.prod(cells)), dtype=np.float32)
    found = {name: _part(array, labels, name) for name in names}
    labelled = np.zeros(array.shape, dtype=np.bool_)
    for part in found.values():
        if part is not None:
            labelled[part[1]] |= drop_islands(part[0], smallest=_SMALLEST_PIECE)
    if not labelled.any():
        return Drawing(volumes_ml=volumes, apart=apart, holes=holes, leftness_mm=leftness, masks=masks)
    grid = CoarseGrid.around(labelled, spacing_mm=spacing_mm, cells=cells)
    for position, part in enumerate(found.values()):
        if part is None:
            continue
        mask, box = part
        voxels = int(np.count_nonzero(mask))
        start = tuple(axis.start for axis in box)
        volumes[position] = voxels * voxel_ml
        apart[position] = 1 - np.count_nonzero(drop_islands(mask, smallest=1.0)) / voxels
        holes[position] = np.count_nonzero(fill_holes(mask)) / voxels - 1
        leftness[position] = -(np.nonzero(mask)[0].mean() + start[0]) * spacing_mm[0]
        masks[position] = grid.shares(mask, start)
    return Drawing(volumes_ml=volumes, apart=apart, holes=holes, leftness_mm=leftness, masks=masks)


def coarse_cells(structures: int, dimension: int) -> tuple[int, int, int]:
    """Cells along each axis, so few that all structures together take few numbers; one across a 2D image."""
    side = int((_MOST_NUMBERS / max(1, structures)) ** (1 / dimension))
    side = min(_LONGEST_SIDE, max(_SHORTEST_SIDE, side))
    return side, side, (1 if dimension == 2 else side)


def _thinned(label: Volume) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """In the axis order closest to RAS, every n-th voxel along axes that have many."""
    canonical = reorient(label, *closest_canonical(label.grid))
    axes = sum(size > 1 for size in canonical.array.shape)
    step = math.ceil((canonical.array.size / _MOST_VOXELS) ** (1 / max(1, axes)))
    thin = tuple(slice(None, None, step if size > 1 else 1) for size in canonical.array.shape)
    x, y, z = (
        spacing * (step if size > 1 else 1)
        for spacing, size in zip(canonical.grid.spacing_mm, canonical.array.shape, strict=True)
    )
    return canonical.array[thin], (x, y, z)


def _part(array: NDArray[Any], labels: LabelSet, name: str) -> tuple[Mask, tuple[slice, ...]] | None:
    """A structure's mask within its box, and the box; None if it has no voxels."""
    mask = mask_of(array, labels.named(name), labels)
    box = ndimage.find_objects(mask.view(np.uint8))[0] if mask.any() else None
    return None if box is None else (mask[box], box)
