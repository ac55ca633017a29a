"""Where in its image a case of a table lies, for tasks that judge a part of an image.

The columns `i`, `j`, `k` are the voxel in the middle, counted from 0 as the image is stored; `coordX`, `coordY`,
`coordZ`, as in the tables of LUNA16, are millimetres in the patient (LPS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError
from ..geometry import Grid, Volume
from ..regions import Point, region_at
from ..task import Spacing
from .folders import load_image

_VOXEL, _LPS_MM = ("i", "j", "k"), ("coordX", "coordY", "coordZ")


@dataclass(frozen=True)
class Spot:
    """A place that may be known in the patient alone.

    Attributes:
        numbers: Three of them.
        in_mm: Whether they are millimetres in LPS; else voxel indices.
    """

    numbers: tuple[float, float, float]
    in_mm: bool

    def on(self, grid: Grid) -> Point:
        """The voxel."""
        numbers = grid.indices_of(np.array([self.numbers]))[0] if self.in_mm else self.numbers
        i, j, k = (round(float(number)) for number in numbers)
        return i, j, k


def spot_of(row: Mapping[str, str], header: Sequence[str], name: str) -> Spot:
    """The place that a row of a table gives.

    Args:
        row: Column → text.
        header: The columns there are.
        name: Of the table, for an error.

    Raises:
        InvalidInputError: If neither set of columns is there, or a value is no number.
    """
    columns = next((columns for columns in (_VOXEL, _LPS_MM) if set(columns) <= set(header)), None)
    if columns is None:
        raise InvalidInputError(
            f"'{name}' must say where each finding is, got neither {', '.join(_VOXEL)} (voxels) nor "
            f"{', '.join(_LPS_MM)} (mm, LPS). Add the columns."
        )
    try:
        first, second, third = (float(row[column]) for column in columns)
    except ValueError as error:
        raise InvalidInputError(f"'{name}' must hold numbers in {', '.join(columns)}, got something else.") from error
    return Spot((first, second, third), in_mm=columns == _LPS_MM)


def load_part(path: Path, spot: Spot, *, size_mm: Spacing) -> Volume:
    """The part of an image around a place.

    Raises:
        InvalidInputError: If the place is not on the image.
        CarinaError: As the readers do.
    """
    image = load_image(path)
    return region_at(spot.on(image.grid), image.grid, size_mm=size_mm).crop(image)
