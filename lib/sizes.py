"""How large a structure is that was drawn, for people: a volume, and in a projection, which has no depth, an area."""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import Grid

_ONE_DECIMAL_BELOW = 10


@dataclass(frozen=True, kw_only=True)
class SizeUnit:
    """What sizes on one grid are told in.

    Attributes:
        key: For programs: `volumes_ml`, `areas_cm2` or `areas_percent`.
        title: For people, such as `Volume (ml)`.
        shown: The unit alone.
        per_voxel: Size of one voxel.
    """

    key: str
    title: str
    shown: str
    per_voxel: float

    def number(self, size: float) -> str:
        """A size as a number that a person reads."""
        return f"{size:.1f}" if size < _ONE_DECIMAL_BELOW else f"{size:.0f}"

    def text(self, size: float) -> str:
        """A size with its unit."""
        return f"{self.number(size)} {self.shown}"


def size_unit(grid: Grid, *, projection: bool, pixel_size_known: bool) -> SizeUnit:
    """The unit that makes sense on a grid. The viewer's `sizes.js` says the same.

    Args:
        grid: Of the image.
        projection: Whether it is one, such as a radiograph.
        pixel_size_known: Of a projection, whether its pixels have a size; one without counts as 1 mm in the grid.
    """
    if not projection:
        return SizeUnit(key="volumes_ml", title="Volume (ml)", shown="ml", per_voxel=grid.voxel_volume_ml)
    across, down, _ = grid.spacing_mm
    if pixel_size_known:
        return SizeUnit(key="areas_cm2", title="Area (cm²)", shown="cm²", per_voxel=across * down / 100)
    share = 100 / (grid.shape[0] * grid.shape[1])
    return SizeUnit(key="areas_percent", title="Area (% of the image)", shown="% of the image", per_voxel=share)
