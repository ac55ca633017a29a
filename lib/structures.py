"""The catalogue of coded anatomy: what each structure's name means in SNOMED CT, and how it is drawn; needs no torch.

Names are the field's own: every class of TotalSegmentator v1 and v2, and whole organs for chest CT. The rows and their
source are in `structures_table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import structures_table as table
from .labels import Code, Label, LabelSet, require_known

ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
MORPHOLOGICALLY_ALTERED_STRUCTURE = Code("49755003", "SCT", "Morphologically Altered Structure")
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")

_SIDES: Mapping[str, Code | None] = {"L": LEFT, "R": RIGHT, "": None}


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One structure of the catalogue; becomes a `Label` once a task gives it an index.

    Attributes:
        name: Field-standard name in snake case.
        category: Segmented property category (PS3.16 CID 7150).
        type: Segmented property type.
        modifier: Laterality of the type, where it needs one.
        colour: sRGB, each 0–255.
        region: Anatomic region an altered structure lies in; None for anatomy, which is its own region.
        region_modifier: Laterality of the region.
    """

    name: str
    category: Code
    type: Code
    modifier: Code | None
    colour: tuple[int, int, int]
    region: Code | None = None
    region_modifier: Code | None = None


def _structures() -> Iterator[Structure]:
    for name, code, meaning, side, colour in (
        *table.TOTALSEGMENTATOR_V1_ROWS,
        *table.TOTALSEGMENTATOR_V2_ROWS,
        *table.CHEST,
    ):
        yield Structure(
            name=name,
            category=ANATOMICAL_STRUCTURE,
            type=Code(code, "SCT", meaning),
            modifier=_SIDES[side],
            colour=colour,
        )
    for name, code, scheme, meaning, side, colour, (region, region_meaning, region_side) in table.ALTERED:
        yield Structure(
            name=name,
            category=MORPHOLOGICALLY_ALTERED_STRUCTURE,
            type=Code(code, scheme, meaning),
            modifier=_SIDES[side],
            colour=colour,
            region=Code(region, "SCT", region_meaning),
            region_modifier=_SIDES[region_side],
        )


STRUCTURES: Mapping[str, Structure] = MappingProxyType({structure.name: structure for structure in _structures()})
"""Name → structure, for everything the catalogue knows."""

TOTALSEGMENTATOR_V1: tuple[str, ...] = tuple(row[0] for row in table.TOTALSEGMENTATOR_V1_ROWS)
"""The 104 classes of TotalSegmentator v1; class `n` of the public bundle is at position `n - 1`."""


ALIASES: Mapping[str, str] = MappingProxyType(
    {"left_lung": "lung_left", "right_lung": "lung_right", "ground_glass_opacities": "ground_glass_opacity"}
)
"""Names that public data sets have for structures of the catalogue."""


def label_set(*names: str, overlapping: bool = False) -> LabelSet:
    """Labels for structures of the catalogue.

    Args:
        names: Names in `STRUCTURES`; the first gets label index 1.
        overlapping: Whether a voxel may have several of them.

    Returns:
        Labels with indices 1…N in the order given.

    Raises:
        LabelError: If a name is not in the catalogue; the message says what was probably meant.
        ConfigurationError: If a name repeats.
    """
    require_known(names, STRUCTURES, what="a structure")
    labels = [
        Label(
            name=name,
            index=index,
            category=STRUCTURES[name].category,
            type=STRUCTURES[name].type,
            modifier=STRUCTURES[name].modifier,
            colour=STRUCTURES[name].colour,
        )
        for index, name in enumerate(names, start=1)
    ]
    return LabelSet(labels, overlapping=overlapping)
