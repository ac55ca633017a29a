"""What counts as a piece of a structure, and what as an island."""

from __future__ import annotations

import numpy as np
import pytest

from carina.models.pieces import drop_islands, fill_holes


@pytest.mark.parametrize(("smallest", "kept"), [(0.0, 3), (0.2, 2), (1.0, 1)])
def test_pieces_stay_that_are_no_small_share_of_the_largest(smallest, kept):
    mask = np.zeros(40, dtype=bool)
    mask[0:20] = mask[22:26] = mask[30:33] = True  # 20, 4 and 3 voxels
    after = drop_islands(mask, smallest=smallest)
    assert np.count_nonzero(np.diff(after.astype(int)) == 1) + after[0] == kept
    assert not (after & ~mask).any()


def test_two_largest_pieces_of_one_size_both_stay():
    mask = np.array([True, True, False, True, True])
    np.testing.assert_array_equal(drop_islands(mask, smallest=1.0), mask)


def test_what_an_outline_encloses_is_filled_in_one_slice_and_open_in_a_volume():
    ring = np.ones((5, 5, 1), dtype=bool)
    ring[1:4, 1:4] = False
    assert fill_holes(ring).all()
    tube = np.repeat(ring, 3, axis=2)
    np.testing.assert_array_equal(fill_holes(tube), tube)
