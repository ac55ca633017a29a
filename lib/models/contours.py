"""How much of a structure's outline has to be drawn anew: the part of correcting that takes a person's time."""

from __future__ import annotations

import numpy as np

from ..geometry import AnyArray
from ..label_maps import Mask, mask_of
from ..labels import LabelSet


def contour_of(mask: Mask) -> Mask:
    """The voxels of a mask that have a neighbour outside it, slice by slice.

    Args:
        mask: Boolean `(X, Y, Z)`; what lies beyond the image is outside. Slices are those along the last axis.

    Returns:
        Boolean, same shape.
    """
    inside = np.pad(mask, ((1, 1), (1, 1), (0, 0)))
    kept = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    contour: Mask = mask & ~kept
    return contour


def added_path_length(drawn: Mask, truth: Mask) -> int:
    """Voxels of the truth's contour that the drawn one does not share: the added path length.

    It says more about the time that correcting takes than overlap does (Vaassen et al.,
    doi:10.1016/j.phro.2019.12.001).

    Args:
        drawn: Boolean `(X, Y, Z)`, as `contour_of` takes it.
        truth: Likewise, of the same shape.
    """
    return int(np.count_nonzero(contour_of(truth) & ~contour_of(drawn)))


def path_to_add(drawn: AnyArray, truth: AnyArray, labels: LabelSet) -> int:
    """The added path length of all labels together.

    Args:
        drawn: Label map of `labels`, `(X, Y, Z)`.
        truth: Likewise, of the same shape.
        labels: What the values mean.
    """
    return sum(
        added_path_length(mask_of(drawn, label, labels), mask_of(truth, label, labels))
        for label in labels
        if mask_of(truth, label, labels).any()
    )
