"""The part of an image that a classification looks at: around what another task drew, or where a person points.

Training and inference both cut it out here, so that a network is shown what it has learned from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InvalidInputError
from .geometry import Grid, Volume, three_sizes
from .label_maps import Mask, bounding_box
from .task import Spacing

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Per axis the first voxel and the one past the last."""
Point = tuple[int, int, int]
Place = Point | Box
"""What a person points at, in voxel indices of the image: a click, or a box around it."""

_MARGIN_SHARE = 0.05


@dataclass(frozen=True)
class Region:
    """A box of an image.

    Attributes:
        box: Slices along the image's axes.
        whole: The image's grid.
    """

    box: tuple[slice, slice, slice]
    whole: Grid

    def crop(self, image: Volume) -> Volume:
        """The image within the box; voxels stay where they are in the patient."""
        affine = self.whole.affine_ras.copy()
        affine[:3, 3] = (affine @ [*(axis.start for axis in self.box), 1.0])[:3]
        array = np.ascontiguousarray(image.array[self.box])
        return Volume(array, Grid(three_sizes(array), affine))

    def put_back(self, part: Volume) -> Volume:
        """What was found within the box, on the whole image's grid; 0 around it."""
        array = np.zeros(self.whole.shape, dtype=part.array.dtype)
        array[self.box] = part.array
        return Volume(array, self.whole)


def region_around(mask: Mask, grid: Grid) -> Region:
    """The bounding box of a mask, a twentieth of its size wider on every side.

    Raises:
        InvalidInputError: If the mask is empty.
    """
    ends = bounding_box(mask)
    if ends is None:
        raise InvalidInputError("A region must hold something, got no lungs in this image. Ask with roi=image.")
    box = []
    for (first, end), size in zip(ends, mask.shape, strict=True):
        margin = round((end - first) * _MARGIN_SHARE)
        box.append(slice(max(0, first - margin), min(size, end + margin)))
    return Region((box[0], box[1], box[2]), grid)


def region_at(place: Place, grid: Grid, *, size_mm: Spacing) -> Region:
    """A box of a fixed size in the patient, whatever the image's voxels are, with a place in its middle.

    Near a border of the image the box moves inwards, so that it keeps its size; only an image that is smaller than it
    gives less.

    Args:
        place: A voxel, or a box, whose middle counts.
        grid: The image's.
        size_mm: Of the box, along the image's own axes.

    Raises:
        InvalidInputError: If the place is not on the image.
    """
    check_place(place, grid)
    box = []
    for axis, (size, ends) in enumerate(zip(grid.shape, bounds(place), strict=True)):
        middle = sum(ends) / 2
        voxels = min(size, max(1, round(size_mm[axis] / grid.spacing_mm[axis])))
        first = min(max(0, round(middle - voxels / 2)), size - voxels)
        box.append(slice(first, first + voxels))
    return Region((box[0], box[1], box[2]), grid)


def bounds(place: Place) -> Box:
    """Per axis the first voxel of a place and the one past its last."""
    first, second, third = ((at, at + 1) if isinstance(at, int) else at for at in place)
    return first, second, third


def check_place(place: Place, grid: Grid) -> None:
    """Make sure that the middle of a place is on an image.

    Raises:
        InvalidInputError: If it is not.
    """
    if any(not 0 <= sum(ends) / 2 <= size for ends, size in zip(bounds(place), grid.shape, strict=True)):
        raise InvalidInputError(f"A place must be on its image of {grid.shape} voxels, got {place}. Point again.")


def same_place(one: Any, other: Any) -> bool:
    """Whether two places are the same; one of them may have been JSON meanwhile, with lists for tuples."""
    return bool(json.dumps(one) == json.dumps(other))


def place_from_json(value: Any) -> Place:
    """A place that was JSON meanwhile.

    Args:
        value: Three whole numbers, or three pairs of them.
    """
    first, second, third = (tuple(one) if isinstance(one, list) else one for one in value)
    return first, second, third
