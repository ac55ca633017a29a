"""What is measured on a radiograph from what tasks drew of it, with codes and units; needs no torch.

Codes are of the private scheme `99CARINA` (PS3.16 §8.2 allows `99…`): the standard's own cardiothoracic ratios are
those of the unborn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GeometryError, InvalidInputError
from .label_maps import LabelArray, Mask, bounding_box, mask_of_any
from .labels import Code, LabelSet, did_you_mean

ANATOMY = "cxr_anatomy"
"""The task whose drawing of a radiograph is measured."""
LUNG_LABELS, HEART_LABEL = ("lung_left", "lung_right"), "cardiomediastinum"
CARDIOTHORACIC_RATIO, HEART_WIDTH, THORAX_WIDTH = "cardiothoracic_ratio", "heart_width", "thorax_width"
OPACITY_SHARE = "opacity_share"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that can be measured.

    Attributes:
        code: What it is.
        unit: In UCUM.
        decimals: How many are worth telling.
    """

    code: Code
    unit: Code
    decimals: int

    @property
    def unit_shown(self) -> str:
        """For people: a ratio has none, which UCUM writes as 1."""
        return "" if self.unit == _RATIO else self.unit.value


_RATIO, _MM, _PERCENT = Code("1", "UCUM", "no units"), Code("mm", "UCUM", "millimeter"), Code("%", "UCUM", "percent")
_ROWS = (
    (CARDIOTHORACIC_RATIO, "Cardiothoracic ratio", _RATIO, 3),
    (HEART_WIDTH, "Transverse diameter of heart", _MM, 1),
    (THORAX_WIDTH, "Transverse inner diameter of thorax", _MM, 1),
    (OPACITY_SHARE, "Opacity, share of lung area", _PERCENT, 1),
)
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        name: Quantity(code=Code(name, "99CARINA", meaning), unit=unit, decimals=decimals)
        for name, meaning, unit, decimals in _ROWS
    }
)
"""Name → quantity, for everything that carina measures."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value.

    Attributes:
        name: In `QUANTITIES`; says unit and meaning.
        value: Rounded to what is worth telling.
        task: Whose drawing it was measured on.
        model_version: Which version drew it; empty for a drawing that a reader submitted.

    Raises:
        InvalidInputError: If the quantity is unknown, or the value is no finite number from 0 on.
    """

    name: str
    value: float
    task: str
    model_version: str

    def __post_init__(self) -> None:
        if self.name not in QUANTITIES:
            raise InvalidInputError(
                f"A measurement must be of a known quantity, got '{self.name[:64]}'."
                f"{did_you_mean(self.name, QUANTITIES)}"
            )
        if not (math.isfinite(self.value) and self.value >= 0):
            raise InvalidInputError(f"Measurement '{self.name}' must be finite and at least 0, got {self.value}.")
        object.__setattr__(self, "value", round(float(self.value), self.quantity.decimals))

    @property
    def quantity(self) -> Quantity:
        """What it is a value of."""
        return QUANTITIES[self.name]

    def to_json(self) -> dict[str, Any]:
        """For programs and viewers; `measurements_in` reads it back."""
        return {
            "name": self.name,
            "meaning": self.quantity.code.meaning,
            "value": self.value,
            "unit": self.quantity.unit.value,
            "task": self.task,
            "model_version": self.model_version,
        }


def measurements_in(rows: object) -> tuple[Measurement, ...]:
    """What `Measurement.to_json` gave; none of something else.

    Raises:
        InvalidInputError: If one of them could not be.
    """
    fields = ("name", "value", "task", "model_version")
    return tuple(
        Measurement(**{field: row[field] for field in fields}) for row in (rows if isinstance(rows, list) else ())
    )


def cardiothoracic(heart: Mask, lungs: Mask, *, pixel_mm: float | None) -> dict[str, float]:
    """How wide the heart is beside the thorax (Danzer, Am J Med Sci 157:513, 1919).

    The heart's transverse diameter goes from its outermost point on the one side to that on the other, at whatever
    heights they are. The thorax's inner diameter is the widest distance at one height between the outer borders of the
    lungs, which lie against the ribs. Magnification cancels in the ratio, and does not in the diameters.

    Args:
        heart: `(X, Y, 1)` booleans, X across the page.
        lungs: Both lungs, same shape.
        pixel_mm: Width of a pixel at the detector; None if nobody knows, then there are no diameters.

    Returns:
        Quantity → value; nothing where heart or lungs are not drawn.

    Raises:
        GeometryError: If the masks differ in shape.
    """
    if heart.shape != lungs.shape:
        raise GeometryError(f"Masks must have one shape, got {heart.shape} and {lungs.shape}.")
    box = bounding_box(heart)
    thorax = int(_widths(lungs).max(initial=0))
    if box is None or not thorax:
        return {}
    width = box[0][1] - box[0][0]
    found = {CARDIOTHORACIC_RATIO: width / thorax}
    return found if pixel_mm is None else found | {HEART_WIDTH: width * pixel_mm, THORAX_WIDTH: thorax * pixel_mm}


def opacity_share(opacity: Mask, lungs: Mask) -> dict[str, float]:
    """Which share of the lungs' area in the projection is opaque, in percent; what lies outside them does not count.

    Args:
        opacity: Booleans of any shape.
        lungs: Both lungs, same shape.

    Returns:
        Quantity → value; nothing without lungs.

    Raises:
        GeometryError: If the masks differ in shape.
    """
    if opacity.shape != lungs.shape:
        raise GeometryError(f"Masks must have one shape, got {opacity.shape} and {lungs.shape}.")
    area = int(np.count_nonzero(lungs))
    return {OPACITY_SHARE: 100 * int(np.count_nonzero(opacity & lungs)) / area} if area else {}


def anatomy_measured(
    array: LabelArray, labels: LabelSet, *, task: str, model_version: str, pixel_mm: float | None
) -> tuple[Measurement, ...]:
    """The heart beside the thorax, on a label map of a radiograph.

    Args:
        array: `(X, Y, 1)` label map of `labels`, X across the page.
        labels: With both lungs and the cardiomediastinum.
        task: Whose they are.
        model_version: Which version drew it; empty for a reader.
        pixel_mm: As in `cardiothoracic`.

    Returns:
        Nothing unless the heart and both lungs are drawn: beside one lung alone the thorax would be half as wide.
    """
    if not all(mask_of_any(array, (name,), labels).any() for name in (*LUNG_LABELS, HEART_LABEL)):
        return ()
    lungs = mask_of_any(array, LUNG_LABELS, labels)
    values = cardiothoracic(mask_of_any(array, (HEART_LABEL,), labels), lungs, pixel_mm=pixel_mm)
    return tuple(
        Measurement(name=name, value=value, task=task, model_version=model_version) for name, value in values.items()
    )


def in_words(measurements: Sequence[Measurement]) -> str:
    """Such as "Cardiothoracic ratio 0.52, transverse diameter of heart 142 mm"; empty without any."""
    return ", ".join(_word(one) for one in measurements)


def _word(one: Measurement) -> str:
    return f"{one.quantity.code.meaning} {one.value:.{one.quantity.decimals}f} {one.quantity.unit_shown}".rstrip()


def _widths(mask: Mask) -> NDArray[np.int64]:
    """Per height, how far apart the outermost columns of the mask are; 0 where there are none."""
    held = mask.any(axis=2)
    first, last = held.argmax(axis=0), held.shape[0] - held[::-1].argmax(axis=0)
    widths: NDArray[np.int64] = np.where(held.any(axis=0), last - first, 0)
    return widths
