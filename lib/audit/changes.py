"""What is done to an image to see whether the answer follows: nothing here changes whether the finding is there.

A change takes and gives a `Volume`; its first two axes are the page, as in a radiograph. Grey values are moved in parts
of the image's own range, from its 1st to its 99th percentile, because they have no unit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Volume
from ..label_maps import Mask

Change = Callable[[Volume], Volume]
Values = NDArray[np.float32]

CORNERS = ("top left", "top right", "bottom left", "bottom right")

_WIDENED = 0.02
_SURROUNDING = 0.04
_CORNER_SHARE = 1 / 6
_LETTER_SHARE = 1 / 10
_LETTER_MARGIN = 1 / 30
_BRIGHTER = 0.1
_GAMMA = 0.8
_SHIFT_SHARE = 0.02
_NOISE = 0.02

# The letter that a side marker has, five pixels wide and seven high.
_LETTER = np.array([[int(dot) for dot in row] for row in
                    ("11110", "10001", "10001", "11110", "10100", "10010", "10001")], dtype=bool).T  # fmt: skip


def without_region(image: Volume, mask: Mask) -> Volume:
    """The image with a region filled with the level around it.

    The mask is widened by a fiftieth of the image's longer side, so that nothing of the region is left at its edge.

    Args:
        image: `(X, Y, Z)` intensities.
        mask: The region, on the same grid; not empty.
    """
    side = max(image.grid.shape[:2])
    depth = ndimage.distance_transform_edt(~mask)
    hole = depth <= _WIDENED * side
    ring = (depth <= (_WIDENED + _SURROUNDING) * side) & ~hole
    array = _values(image)
    array[hole] = np.median(array[ring] if ring.any() else array)
    return Volume(array, image.grid)


def without_corners(image: Volume, corners: tuple[str, ...] = CORNERS) -> Volume:
    """The image with corners filled with the level beside them, each a sixth of both sides."""
    array = _values(image)
    original = array.copy()
    width, height = (max(1, round(size * _CORNER_SHARE)) for size in image.grid.shape[:2])
    for corner in corners:
        part, around = _corner(corner, width, height), _corner(corner, 2 * width, 2 * height)
        outside = np.ones(array.shape, dtype=bool)
        outside[part] = False
        array[part] = np.median(original[around][outside[around]])
    return Volume(array, image.grid)


def with_marker(image: Volume, corner: str) -> Volume:
    """The image with a bright letter in a corner, like the lead marker that names a side."""
    array = _values(image)
    width, height = image.grid.shape[:2]
    dot = max(1, round(min(width, height) * _LETTER_SHARE / _LETTER.shape[1]))
    margin = round(min(width, height) * _LETTER_MARGIN)
    letter = np.kron(_LETTER, np.ones((dot, dot), dtype=bool))
    x = margin if "left" in corner else width - margin - letter.shape[0]
    y = margin if "top" in corner else height - margin - letter.shape[1]
    place = array[max(0, x) :, max(0, y) :][: letter.shape[0], : letter.shape[1]]
    place[letter[: place.shape[0], : place.shape[1]]] = array.max()
    return Volume(array, image.grid)


def perturbations(image_id: str) -> Mapping[str, Change]:
    """Small changes that a radiologist would not notice, by name.

    Args:
        image_id: Decides the noise, so that it is the same in every audit.
    """
    return {
        "brighter": partial(_shade, gain=1.0, offset=_BRIGHTER),
        "darker": partial(_shade, gain=1.0, offset=-_BRIGHTER),
        "more contrast": partial(_shade, gain=1 + _BRIGHTER, offset=-_BRIGHTER / 2),
        "less contrast": partial(_shade, gain=1 - _BRIGHTER, offset=_BRIGHTER / 2),
        "lighter curve": partial(_bend, gamma=_GAMMA),
        "darker curve": partial(_bend, gamma=1 / _GAMMA),
        "moved left": partial(_move, x=-_SHIFT_SHARE, y=0.0),
        "moved right": partial(_move, x=_SHIFT_SHARE, y=0.0),
        "moved up": partial(_move, x=0.0, y=-_SHIFT_SHARE),
        "moved down": partial(_move, x=0.0, y=_SHIFT_SHARE),
        "noise": partial(_noise, seed=zlib.crc32(image_id.encode())),
    }


def _values(image: Volume) -> Values:
    return np.array(image.array, dtype=np.float32)


def _corner(corner: str, width: int, height: int) -> tuple[slice, slice]:
    x = slice(None, width) if "left" in corner else slice(-width, None)
    y = slice(None, height) if "top" in corner else slice(-height, None)
    return x, y


def _range(array: Values) -> tuple[float, float]:
    """Lower end and length of the range that grey values use."""
    lower, upper = (float(value) for value in np.percentile(array, (1, 99)))
    return lower, max(upper - lower, 1e-6)


def _shade(image: Volume, *, gain: float, offset: float) -> Volume:
    """A straight line over the grey values; what leaves the image's own range is cut off, as on a detector."""
    array = _values(image)
    lower, length = _range(array)
    shaded = ((array - lower) / length * gain + offset) * length + lower
    return Volume(shaded.clip(array.min(), array.max()), image.grid)


def _bend(image: Volume, *, gamma: float) -> Volume:
    """A gamma curve over the grey values, as another display or exposure gives it."""
    array = _values(image)
    lower, length = _range(array)
    bent = ((array - lower) / length).clip(0, 1) ** gamma * length + lower
    return Volume(bent.astype(np.float32), image.grid)


def _move(image: Volume, *, x: float, y: float) -> Volume:
    """Some whole pixels, one at least; what comes into view repeats the edge."""
    array = _values(image)
    for axis, share in enumerate((x, y)):
        if share:
            pixels = max(1, round(abs(share) * array.shape[axis])) * (1 if share > 0 else -1)
            places = (np.arange(array.shape[axis]) - pixels).clip(0, array.shape[axis] - 1)
            array = np.take(array, places, axis=axis)
    return Volume(array, image.grid)


def _noise(image: Volume, *, seed: int) -> Volume:
    array = _values(image)
    noise = np.random.default_rng(seed).standard_normal(array.shape, dtype=np.float32)
    return Volume(array + _NOISE * _range(array)[1] * noise, image.grid)
