"""Islands go and holes are filled, for every label by itself."""

from __future__ import annotations

import numpy as np

from carina.infers.pieces import keep_one_piece
from carina.structures import label_set


def test_each_overlapping_label_keeps_its_own_largest_piece_without_holes():
    labels = label_set("cardiomediastinum", "airways", overlapping=True)
    heart, airways = np.zeros((2, 20, 20, 1), dtype=bool)
    heart[3:15, 3:15] = True
    airways[8:18, 9:12] = True
    expected = heart + 2 * airways.astype(np.uint8)
    heart[6:8, 6:8] = False  # a hole
    heart[17:19, 1:3] = True  # islands, one of them within the other label
    airways[4, 4] = True
    array = heart + 2 * airways.astype(np.uint8)
    keep_one_piece(array, labels)
    np.testing.assert_array_equal(array, expected)


def test_a_hole_that_another_label_fills_stays_where_labels_exclude_each_other():
    array = np.zeros((12, 12, 12), dtype=np.uint8)
    array[2:10, 2:10, 2:10] = 1
    array[4:7, 4:7, 4:7] = 2
    expected = array.copy()
    array[8, 8, 8] = 0
    array[0, 0, 0] = array[11, 11, 11] = 1
    keep_one_piece(array, label_set("liver", "spleen"))
    np.testing.assert_array_equal(array, expected)
