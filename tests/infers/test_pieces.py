"""Islands go and holes are filled, for every label by itself, as far as a task says so."""

from __future__ import annotations

import numpy as np

from carina.infers.pieces import tidy
from carina.structures import label_set

from .builder import task

OVERLAPPING = label_set("cardiomediastinum", "airways", overlapping=True)


def test_each_overlapping_label_keeps_its_own_largest_piece_without_holes():
    heart, airways = np.zeros((2, 20, 20, 1), dtype=bool)
    heart[3:15, 3:15] = True
    airways[8:18, 9:12] = True
    expected = heart + 2 * airways.astype(np.uint8)
    heart[6:8, 6:8] = False  # a hole
    heart[17:19, 1:3] = True  # islands, one of them within the other label
    airways[4, 4] = True
    array = heart + 2 * airways.astype(np.uint8)
    tidy(array, task(dimension=2, labels=OVERLAPPING, smallest_piece=1.0, fill_holes=True))
    np.testing.assert_array_equal(array, expected)


def test_a_hole_that_another_label_fills_stays_where_labels_exclude_each_other():
    array = np.zeros((12, 12, 12), dtype=np.uint8)
    array[2:10, 2:10, 2:10] = 1
    array[4:7, 4:7, 4:7] = 2
    expected = array.copy()
    array[8, 8, 8] = 0
    array[0, 0, 0] = array[11, 11, 11] = 1
    tidy(array, task(labels=label_set("liver", "spleen"), smallest_piece=1.0, fill_holes=True))
    np.testing.assert_array_equal(array, expected)


def test_a_task_that_says_nothing_of_pieces_is_left_alone():
    array = np.random.default_rng(0).integers(0, 3, (9, 8, 7), dtype=np.uint8)
    expected = array.copy()
    tidy(array, task(labels=label_set("liver", "spleen")))
    np.testing.assert_array_equal(array, expected)


def test_holes_may_be_filled_without_dropping_pieces():
    array = np.ones((9, 9, 1), dtype=np.uint8)
    array[:, 6] = 0  # two pieces, the smaller one with a hole
    array[2, 2] = 0
    tidy(array, task(dimension=2, labels=label_set("liver"), fill_holes=True))
    assert array.sum() == 9 * 8
