"""Label maps: which voxels have a label, in the one or the other form that `LabelSet.values` gives."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .geometry import AnyArray
from .labels import Label, LabelSet

Mask = NDArray[np.bool_]
LabelArray = NDArray[np.uint8 | np.uint16]


def label_type(labels: LabelSet) -> type[np.uint8] | type[np.uint16]:
    """The smallest type that holds every voxel value of these labels."""
    largest = sum(labels.values.values()) if labels.overlapping else len(labels)
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16


def mask_of(array: AnyArray, label: Label, labels: LabelSet) -> Mask:
    """Where a label is.

    Args:
        array: Label map of `labels`, or a part of one, any shape.
        label: One of `labels`.
        labels: What the values mean.

    Returns:
        Boolean, same shape.
    """
    value = labels.values[label.name]
    mask: Mask = (array & value) != 0 if labels.overlapping else array == value
    return mask


def mask_of_any(array: AnyArray, names: Iterable[str], labels: LabelSet) -> Mask:
    """Where at least one of some labels is; arguments as in `mask_of`."""
    mask: Mask = np.logical_or.reduce([mask_of(array, labels.named(name), labels) for name in names])
    return mask


def join_masks(masks: Iterable[tuple[str, Mask]], labels: LabelSet, *, shape: tuple[int, ...]) -> LabelArray:
    """A label map of masks, which are looked at one by one; where labels must not overlap, the later one wins.

    Args:
        masks: Names of labels and booleans of `shape`; a label without a mask has no voxels.
        labels: What the values mean.
        shape: Of the label map.
    """
    values = labels.values
    array: LabelArray = np.zeros(shape, dtype=label_type(labels))
    for name, mask in masks:
        value = values[name]
        array[mask] = np.bitwise_or(array[mask], array.dtype.type(value)) if labels.overlapping else value
    return array


def bounding_box(mask: Mask) -> tuple[tuple[int, int], ...] | None:
    """Per axis the first index that holds something, and one past the last; None of an empty mask.

    Args:
        mask: Boolean, any shape.
    """
    ends = []
    for axis in range(mask.ndim):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not held.size:
            return None
        ends.append((int(held[0]), int(held[-1]) + 1))
    return tuple(ends)


def voxel_counts(array: LabelArray, labels: LabelSet) -> dict[str, int]:
    """How many voxels each label has, in one pass whatever their number."""
    largest = sum(labels.values.values()) if labels.overlapping else len(labels)
    counts = np.bincount(array.ravel(), minlength=largest + 1)
    if not labels.overlapping:
        return {name: int(counts[value]) for name, value in labels.values.items()}
    having = np.arange(len(counts))
    return {name: int(counts[having & value != 0].sum()) for name, value in labels.values.items()}


def keep_only(array: LabelArray, names: set[str] | frozenset[str], labels: LabelSet) -> LabelArray:
    """The label map with every other label erased."""
    values = {name: value for name, value in labels.values.items() if name in names}
    if labels.overlapping:
        return array & array.dtype.type(sum(values.values()))
    kept = np.zeros(np.iinfo(array.dtype).max + 1, dtype=array.dtype)
    kept[list(values.values())] = list(values.values())
    return kept[array]


def side_table(labels: LabelSet) -> LabelArray:
    """`(values,)` what each voxel value of these labels becomes where left and right are exchanged."""
    exchanged = [other.index for other in labels.exchanged]
    if not labels.overlapping:
        return np.array([0, *exchanged], dtype=label_type(labels))
    table: LabelArray = np.zeros(1 << len(labels), dtype=label_type(labels))
    having = np.arange(len(table))
    for label, index in zip(labels, exchanged, strict=True):
        table[having >> (label.index - 1) & 1 == 1] += 1 << (index - 1)
    return table


def exchange_sides(array: LabelArray, labels: LabelSet) -> LabelArray:
    """The label map with left and right exchanged, as a mirrored image has them; nothing is moved."""
    return side_table(labels)[array]


def flatten(array: LabelArray, labels: LabelSet) -> LabelArray:
    """One label index per voxel, for who can show no more: where labels overlap, the one with the higher index wins."""
    if not labels.overlapping:
        return array
    winner = np.zeros(1 << len(labels), dtype=np.uint8)
    for label in labels:
        winner[1 << (label.index - 1) : 1 << label.index] = label.index
    return winner[array]


def colour_table(labels: LabelSet) -> NDArray[np.float64]:
    """`(values, 3)` sRGB colours, 0–1, of every voxel value; a voxel of several labels has the mean of theirs."""
    colours = np.array([label.colour for label in labels], dtype=np.float64) / 255.0
    if not labels.overlapping:
        return np.concatenate([np.zeros((1, 3)), colours])
    has = (np.arange(1 << len(labels))[:, None] >> np.arange(len(labels))) & 1
    table: NDArray[np.float64] = has @ colours / np.maximum(has.sum(axis=1, keepdims=True), 1)
    return table
