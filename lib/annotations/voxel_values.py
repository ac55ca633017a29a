"""Voxel values and their names: which fit together, and renumbering by name.

Where every named value is a power of two, a voxel may have several names at once: its value is their sum, as in the
label maps of tasks whose labels overlap (`LabelSet.values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelError
from ..geometry import Volume

LARGEST_VALUE = 65534  # uint16's last value stays free, for voxels whose label has no number in a comparison


def check_values(label: Volume, names: Mapping[str, int]) -> None:
    """Refuse a label map that could not be read back by name.

    Args:
        label: `(X, Y, Z)` voxel values.
        names: Label name → voxel value.

    Raises:
        LabelError: If the array is not uint8 or uint16, two names share a value, or a value has no name and is no sum
            of named powers of two.
    """
    if label.array.dtype not in (np.uint8, np.uint16):
        raise LabelError(f"A stored label must be uint8 or uint16, got {label.array.dtype}. Use submit_label.")
    check_names(names)
    unnamed = unnamed_values(label.array, names, sums=True)
    if unnamed:
        raise LabelError(f"Every voxel value must have a name, got {_listed(unnamed)} without one. Name them.")


def check_names(names: Mapping[str, int]) -> None:
    """Refuse names whose values are not distinct or not in 1…65534.

    Raises:
        LabelError: Naming the values.
    """
    values = list(names.values())
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise LabelError(f"A voxel value must be a whole number, got {values[:12]}.")
    if len(set(values)) != len(values):
        repeated = {value for value in values if values.count(value) > 1}
        raise LabelError(f"Each label name must have its own voxel value, got {_listed(repeated)} more than once.")
    outside = {value for value in values if not 1 <= value <= LARGEST_VALUE}
    if outside:
        raise LabelError(f"A voxel value must lie in 1…{LARGEST_VALUE}, got {_listed(outside)}.")


def present_values(array: NDArray[Any]) -> set[int]:
    """The voxel values of an unsigned label map, without the background."""
    seen = np.zeros(np.iinfo(array.dtype).max + 1, dtype=np.bool_)
    seen[array] = True
    return set(np.flatnonzero(seen).tolist()) - {0}


def unnamed_values(array: NDArray[Any], names: Mapping[str, int], *, sums: bool) -> set[int]:
    """The voxel values of an unsigned label map that say nothing.

    Args:
        array: uint8 or uint16.
        names: Name → voxel value.
        sums: Whether a voxel may have several names at once.
    """
    unnamed = present_values(array) - set(names.values())
    if not sums or not are_bits(names):
        return unnamed
    known = sum(names.values())
    return {value for value in unnamed if value & ~known}


def are_bits(names: Mapping[str, int]) -> bool:
    """Whether every value is a power of two, so that voxels may have several of the names."""
    return all(value.bit_count() == 1 for value in names.values())


def mask_named(array: NDArray[Any], name: str, names: Mapping[str, int]) -> NDArray[np.bool_]:
    """Where a label map has a name, alone or with others."""
    mask: NDArray[np.bool_] = (array & names[name]) != 0 if are_bits(names) else array == names[name]
    return mask


def unsigned(array: NDArray[Any]) -> NDArray[np.uint8 | np.uint16]:
    """A label map of any number type as uint8 if its values fit, else uint16.

    Raises:
        LabelError: If a value is not a whole number in 0…65534.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind not in "uif":
        raise LabelError(f"A label must hold whole numbers, got {array.dtype}. Export it as a label map.")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > LARGEST_VALUE:
        raise LabelError(f"A label's voxel values must lie in 0…{LARGEST_VALUE}, got {low} to {high}.")
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise LabelError("A label must hold whole numbers, got fractions. Export it as a label map, not as an image.")
    return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)


def recode(
    array: NDArray[Any], names: Mapping[str, int], wanted: Mapping[str, int], *, other: int = 0, sums: bool = False
) -> NDArray[np.uint16]:
    """Renumber a label map by name.

    Args:
        array: uint8 or uint16 voxel values of `names`; 0 is background and stays so.
        names: Name → voxel value now.
        wanted: Name → voxel value afterwards.
        other: What becomes of names that are not wanted.
        sums: Whether a voxel of several names gets the sum of what is wanted for them. Else it gets that of the name
            with the highest value now.

    Returns:
        Same shape, uint16.
    """
    table = np.zeros(int(np.iinfo(array.dtype).max) + 1, dtype=np.uint16)
    values = np.arange(table.size)
    for name in sorted(names, key=lambda name: names[name]):
        having = mask_named(values, name, names)
        table[having] = (table[having] if sums else 0) | np.uint16(wanted.get(name, other))
    recoded: NDArray[np.uint16] = table[array]
    return recoded


def _listed(values: set[int], *, shown: int = 12) -> str:
    text = ", ".join(str(value) for value in sorted(values)[:shown])
    return text + (f", … ({len(values)} in all)" if len(values) > shown else "")
