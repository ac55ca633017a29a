"""Anatomy that is in one piece is drawn in one piece: stray islands go, holes are filled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..geometry import AnyArray
from ..label_maps import Mask, mask_of
from ..labels import LabelSet


def keep_one_piece(array: AnyArray, labels: LabelSet) -> None:
    """Keep the largest connected piece of every label and fill its holes, in place.

    A hole that another label fills stays where labels exclude each other.

    Args:
        array: `(X, Y, Z)` label map of `labels`; pieces touch along the axes.
        labels: What the values mean.
    """
    for label in labels:
        mask = mask_of(array, label, labels)
        if not mask.any():
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        before, part, value = mask[box], array[box], labels.values[label.name]
        after = _filled(_largest(before))
        if labels.overlapping:
            part[after] |= value
            part[before & ~after] &= ~array.dtype.type(value)
        else:
            part[after & (part == 0)] = value
            part[before & ~after] = 0


def _largest(mask: Mask) -> Mask:
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest: Mask = pieces == int(sizes.argmax())
    return largest


def _filled(mask: Mask) -> Mask:
    """Without holes; in a single slice whatever the outline encloses is one."""
    filled: Mask
    if mask.shape[2] == 1:
        filled = ndimage.binary_fill_holes(mask[:, :, 0])[..., None]
    else:
        filled = ndimage.binary_fill_holes(mask)
    return filled
