"""Shapes that structures have in labels: their coarse masks, and the few ways in which those differ.

Principal components of masks are the linear form of an auto-encoder: a shape that the labels have is put together from
them, and what remains of another one tells how unlike it is (the idea of Oktay et al., IEEE TMI 37(2), 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..label_maps import Mask

Numbers = NDArray[np.float32]

_REACH = 2.2
"""Half the coarse grid's side, in root-mean-square distances of the labelled voxels from their centre."""

_KEPT_VARIANCE = 0.9
_CASES_PER_COMPONENT = 3
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class CoarseGrid:
    """Cells around what is labelled in an image, whatever the image's field of view: centred and scaled by it.

    Attributes:
        first: `(3,)` index of the first cell's edge, in voxels.
        cell: `(3,)` size of a cell, in voxels.
        cells: How many along each axis.
    """

    first: NDArray[np.float64]
    cell: NDArray[np.float64]
    cells: tuple[int, int, int]

    @classmethod
    def around(
        cls, labelled: Mask, *, spacing_mm: tuple[float, float, float], cells: tuple[int, int, int]
    ) -> CoarseGrid:
        """The grid of one label map.

        Args:
            labelled: `(X, Y, Z)` where any label is; not empty.
            spacing_mm: Of the voxels.
            cells: How many along each axis; a single one reaches over the whole image.
        """
        places = np.argwhere(labelled)
        centre, spacing = places.mean(axis=0), np.asarray(spacing_mm)
        spread_mm = float(np.sqrt((((places - centre) * spacing) ** 2).sum(axis=1).mean()))
        half = _REACH * max(spread_mm, float(spacing.min())) / spacing
        whole = np.array(cells) == 1
        half = np.where(whole, np.array(labelled.shape) / 2, half)
        first = np.where(whole, 0.0, centre + 0.5 - half)
        return cls(first, 2 * half / np.array(cells), cells)

    def shares(self, mask: Mask, start: tuple[int, ...]) -> Numbers:
        """`(cells,)` which share of each cell a mask fills.

        Args:
            mask: A part of the image.
            start: Index of its first voxel.
        """
        places = (np.argwhere(mask) + np.array(start) + 0.5 - self.first) / self.cell
        counts, _ = np.histogramdd(places, bins=self.cells, range=[(0, count) for count in self.cells])
        shares: Numbers = (counts.ravel() / max(1.0, float(self.cell.prod()))).astype(np.float32)
        return shares


@dataclass(frozen=True, eq=False)
class ShapeSpace:
    """The usual shapes of some structures.

    Attributes:
        mean: `(structures, cells)`.
        axes: `(structures, components, cells)`, orthonormal for each structure.
    """

    mean: Numbers
    axes: Numbers

    @classmethod
    def of(cls, masks: Numbers) -> ShapeSpace:
        """Learn from `(cases, structures, cells)` coarse masks, two cases or more."""
        mean = masks.mean(axis=0)
        components = max(1, len(masks) // _CASES_PER_COMPONENT)
        axes = np.zeros((masks.shape[1], components, masks.shape[2]), dtype=np.float32)
        for structure in range(masks.shape[1]):
            _, weights, ways = np.linalg.svd(masks[:, structure] - mean[structure], full_matrices=False)
            variance = np.cumsum(weights**2) / max(float((weights**2).sum()), 1e-12)
            count = min(components, int(np.searchsorted(variance, _KEPT_VARIANCE)) + 1)
            axes[structure, :count] = ways[:count]
        return cls(mean, axes)

    def residuals(self, masks: Numbers) -> NDArray[np.float64]:
        """`(structures,)` what the components cannot explain of a case, as a share of the mean shape's size.

        Args:
            masks: `(structures, cells)`.
        """
        difference = masks - self.mean
        explained = np.einsum("skc,sc->sk", self.axes, difference)
        rest = difference - np.einsum("skc,sk->sc", self.axes, explained)
        size = np.linalg.norm(self.mean, axis=1)
        found: NDArray[np.float64] = (np.linalg.norm(rest, axis=1) / np.maximum(size, 1e-6)).astype(np.float64)
        return found


def residuals_out_of_sample(masks: Numbers) -> NDArray[np.float64]:
    """`(cases, structures)` residuals of each case in a space learned from others, as of a case never seen.

    Args:
        masks: `(cases, structures, cells)`, four cases or more.
    """
    fold_of = np.arange(len(masks)) % min(_FOLDS, len(masks))
    found = np.zeros(masks.shape[:2])
    for fold in np.unique(fold_of):
        space = ShapeSpace.of(masks[fold_of != fold])
        for case in np.flatnonzero(fold_of == fold):
            found[case] = space.residuals(masks[case])
    return found
