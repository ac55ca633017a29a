"""Label maps of labels that exclude each other and of labels that overlap, against masks held one by one."""

from __future__ import annotations

import numpy as np
import pytest

from carina.errors import ConfigurationError
from carina.label_maps import (
    colour_table,
    exchange_sides,
    flatten,
    join_masks,
    keep_only,
    label_type,
    mask_of,
    voxel_counts,
)
from carina.labels import LabelSet
from carina.structures import TOTALSEGMENTATOR_V1, label_set

NAMES = ("lung_left", "lung_right", "cardiomediastinum", "airways")
OVERLAPPING = label_set(*NAMES, overlapping=True)
EXCLUSIVE = label_set(*NAMES)


@pytest.fixture
def masks() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.random((7, 5, 2)) < 0.4 for name in NAMES}


def test_overlapping_masks_come_back_whole(masks):
    array = join_masks(masks.items(), OVERLAPPING, shape=(7, 5, 2))
    for label in OVERLAPPING:
        np.testing.assert_array_equal(mask_of(array, label, OVERLAPPING), masks[label.name])


def test_the_later_of_two_labels_that_exclude_each_other_wins(masks):
    expected = np.zeros((7, 5, 2), dtype=int)
    for index, name in enumerate(NAMES, start=1):
        expected = np.where(masks[name], index, expected)
    array = join_masks(masks.items(), EXCLUSIVE, shape=(7, 5, 2))
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(
        flatten(join_masks(masks.items(), OVERLAPPING, shape=(7, 5, 2)), OVERLAPPING), expected
    )


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE], ids=["overlapping", "exclusive"])
def test_erasing_labels_leaves_the_others_as_they_were(masks, labels):
    array = join_masks(masks.items(), labels, shape=(7, 5, 2))
    kept = keep_only(array, {"lung_right", "airways"}, labels)
    for label in labels:
        expected = mask_of(array, label, labels) & (label.name in ("lung_right", "airways"))
        np.testing.assert_array_equal(mask_of(kept, label, labels), expected)


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE], ids=["overlapping", "exclusive"])
def test_voxels_are_counted_as_the_masks_have_them(masks, labels):
    array = join_masks(masks.items(), labels, shape=(7, 5, 2))
    counts = voxel_counts(array, labels)
    assert counts == {label.name: mask_of(array, label, labels).sum() for label in labels}


def test_a_voxel_of_two_labels_has_the_mean_of_their_colours():
    left, _, heart, _ = (np.array(label.colour) / 255 for label in OVERLAPPING)
    np.testing.assert_allclose(colour_table(OVERLAPPING)[0b0101], (left + heart) / 2)
    np.testing.assert_allclose(colour_table(EXCLUSIVE)[1:], [np.array(label.colour) / 255 for label in EXCLUSIVE])


def test_the_type_holds_every_label_at_once():
    assert label_type(OVERLAPPING) is np.uint8
    assert label_type(label_set(*TOTALSEGMENTATOR_V1[:9], overlapping=True)) is np.uint16


def test_more_overlapping_labels_than_bits_are_refused():
    assert len(label_set(*TOTALSEGMENTATOR_V1[:16], overlapping=True)) == 16
    with pytest.raises(ConfigurationError, match="At most 16"):
        label_set(*TOTALSEGMENTATOR_V1[:17], overlapping=True)


def test_sets_that_differ_only_in_overlap_are_different():
    assert OVERLAPPING != EXCLUSIVE
    assert LabelSet(EXCLUSIVE, overlapping=True) == OVERLAPPING


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE], ids=["overlapping", "exclusive"])
def test_exchanged_sides_are_the_other_sides_masks(masks, labels):
    array = join_masks(masks.items(), labels, shape=(7, 5, 2))
    exchanged = exchange_sides(array, labels)
    assert exchanged.dtype == array.dtype
    for name, other in (("lung_left", "lung_right"), ("cardiomediastinum", "cardiomediastinum")):
        before = mask_of(array, labels.named(name), labels)
        np.testing.assert_array_equal(mask_of(exchanged, labels.named(other), labels), before)
    np.testing.assert_array_equal(exchange_sides(exchanged, labels), array)
