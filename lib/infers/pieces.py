"""Anatomy comes in few large pieces: stray islands of a draft go, and holes are filled, as far as a task says so."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..geometry import AnyArray
from ..label_maps import mask_of
from ..models.pieces import drop_islands, fill_holes
from ..task import TaskSpec


def tidy(array: AnyArray, spec: TaskSpec) -> None:
    """Drop islands and fill the holes of every label, in place.

    A hole that another label fills stays where labels exclude each other.

    Args:
        array: `(X, Y, Z)` label map of the task's labels; pieces touch along the axes.
        spec: For `smallest_piece` and `fill_holes`.
    """
    if not spec.smallest_piece and not spec.fill_holes:
        return
    labels = spec.labels
    for label in labels:
        mask = mask_of(array, label, labels)
        if not mask.any():
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        before, part, value = mask[box], array[box], labels.values[label.name]
        after = drop_islands(before, smallest=spec.smallest_piece)
        if spec.fill_holes:
            after = fill_holes(after)
        if labels.overlapping:
            part[after] |= value
            part[before & ~after] &= ~array.dtype.type(value)
        else:
            part[after & (part == 0)] = value
            part[before & ~after] = 0
