"""The part of an image that a classification looks at, such as the lungs as another task drew them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInputError
from ..geometry import Grid, Volume, three_sizes
from ..label_maps import Mask, bounding_box

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
