"""Pieces and holes of a structure."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..label_maps import Mask


def drop_islands(mask: Mask, *, smallest: float) -> Mask:
    """Without the pieces that have less than a share of the largest one's voxels.

    Airways behind a diseased lung are drawn in several pieces, all of them real; what is a small share of the largest
    is not.

    Args:
        mask: Boolean, any shape; pieces touch along the axes.
        smallest: The share, 0–1.
    """
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept: Mask = (sizes >= max(1.0, smallest * sizes.max()))[pieces]
    return kept


def fill_holes(mask: Mask) -> Mask:
    """Without holes; in a single slice whatever the outline encloses is one.

    Args:
        mask: `(X, Y, Z)` boolean.
    """
    filled: Mask
    if mask.shape[2] == 1:
        filled = ndimage.binary_fill_holes(mask[:, :, 0])[..., None]
    else:
        filled = ndimage.binary_fill_holes(mask)
    return filled
