"""The catalogue of findings: what an image may show as a whole, with codes; needs no torch.

Names are those of torchxrayvision, in snake case. Codes are SNOMED CT or DICOM's own; the two findings for which
neither has a code that is certain carry one of the private scheme `99CARINA` (PS3.16 §8.2 allows `99…`).
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from types import MappingProxyType

from .labels import Code, Label, LabelSet, require_known

CLINICAL_FINDING = Code("404684003", "SCT", "Clinical finding")

_ROWS = (
    ("atelectasis", "46621007", "SCT", "Atelectasis"),
    ("consolidation", "95436008", "SCT", "Pulmonary consolidation"),
    ("infiltration", "112121", "DCM", "Infiltrate"),
    ("pneumothorax", "36118008", "SCT", "Pneumothorax"),
    ("edema", "19242006", "SCT", "Pulmonary edema"),
    ("emphysema", "87433001", "SCT", "Pulmonary emphysema"),
    ("fibrosis", "51615001", "SCT", "Fibrosis of lung"),
    ("effusion", "60046008", "SCT", "Pleural effusion"),
    ("pneumonia", "233604007", "SCT", "Pneumonia"),
    ("pleural_thickening", "pleural_thickening", "99CARINA", "Pleural thickening"),
    ("cardiomegaly", "8186001", "SCT", "Cardiomegaly"),
    ("nodule", "27925004", "SCT", "Nodule"),
    ("mass", "4147007", "SCT", "Mass"),
    ("hernia", "39839004", "SCT", "Diaphragmatic hernia"),
    ("lung_lesion", "52988006", "SCT", "Lesion"),
    ("fracture", "125605004", "SCT", "Fracture of bone"),
    ("lung_opacity", "112001", "DCM", "Opacity"),
    ("enlarged_cardiomediastinum", "enlarged_cardiomediastinum", "99CARINA", "Enlarged cardiomediastinum"),
    ("covid19", "840539006", "SCT", "COVID-19"),
    ("malignant_nodule", "363358000", "SCT", "Malignant tumor of lung"),
)

FINDINGS: Mapping[str, Code] = MappingProxyType(
    {name: Code(value, scheme, meaning) for name, value, scheme, meaning in _ROWS}
)
"""Name → code, for everything the catalogue knows."""

TORCHXRAYVISION: tuple[str, ...] = tuple(name for name, *_ in _ROWS[:18])
"""The 18 pathologies of torchxrayvision, in the order of its networks' outputs (`xrv.datasets.default_pathologies`)."""

_GOLDEN_ANGLE = 137.508


def finding_set(*names: str) -> LabelSet:
    """Labels for findings of the catalogue; an image may have any number of them.

    Args:
        names: Names in `FINDINGS`; the first gets label index 1, which is output 0 of the network.

    Raises:
        LabelError: If a name is not in the catalogue; the message says what was probably meant.
        ConfigurationError: If a name repeats.
    """
    require_known(names, FINDINGS, what="a finding")
    order = list(FINDINGS)
    return LabelSet(
        Label(
            name=name,
            index=index,
            category=CLINICAL_FINDING,
            type=FINDINGS[name],
            colour=_colour(order.index(name)),
        )
        for index, name in enumerate(names, start=1)
    )


def _colour(position: int) -> tuple[int, int, int]:
    """A hue of its own for each place in the catalogue, by turns of the golden angle."""
    red, green, blue = colorsys.hsv_to_rgb(position * _GOLDEN_ANGLE % 360 / 360, 0.65, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)
