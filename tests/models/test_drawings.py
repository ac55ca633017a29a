"""What is measured of a label map is what was drawn, whatever the order of its axes and however large it is."""

from __future__ import annotations

import numpy as np
import pytest

from carina.geometry import Grid, Volume
from carina.models.drawings import coarse_cells, measure
from carina.structures import TOTALSEGMENTATOR_V1, label_set

LABELS = label_set("lung_left", "lung_right", "heart")


def drawn() -> np.ndarray:
    label = np.zeros((20, 16, 12), dtype=np.uint8)
    label[2:6, 2:12, 2:10] = 1
    label[4, 5:7, 5] = 0  # a hole of two voxels
    label[12:18, 2:12, 2:10] = 2
    label[12, 14, 11] = 2  # an island
    return label


def test_sizes_pieces_holes_and_sides_are_those_drawn():
    found = measure(
        Volume(drawn(), Grid((20, 16, 12), np.diag([2.0, 3.0, 4.0, 1.0]))),
        labels=LABELS, names=LABELS.names, dimension=3,
    )  # fmt: skip
    left, right = 4 * 10 * 8 - 2, 6 * 10 * 8 + 1
    np.testing.assert_allclose(found.volumes_ml, np.array([left, right, 0]) * 24 / 1000)
    np.testing.assert_allclose(found.apart, [0, 1 / right, 0])
    np.testing.assert_allclose(found.holes, [2 / left, 0, 0])
    assert found.leftness_mm[0] > found.leftness_mm[1], "x grows to the patient's right"
    assert np.isnan(found.leftness_mm[2])
    assert found.masks[2].sum() == 0


def test_another_order_of_axes_measures_the_same():
    plain = Volume(drawn(), Grid((20, 16, 12), np.diag([2.0, 3.0, 4.0, 1.0])))
    affine = np.array([[0, 0, -2.0, 38], [3.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 0, 1]])
    turned = np.ascontiguousarray(drawn().transpose(1, 2, 0)[:, :, ::-1])
    both = [
        measure(one, labels=LABELS, names=LABELS.names, dimension=3)
        for one in (plain, Volume(turned, Grid(turned.shape, affine)))
    ]
    for field in ("volumes_ml", "apart", "holes", "masks"):
        np.testing.assert_allclose(getattr(both[0], field), getattr(both[1], field), atol=1e-6)


def test_a_large_label_map_is_thinned_out_and_keeps_its_sizes():
    label = np.zeros((160, 160, 120), dtype=np.uint8)
    label[20:100, 30:120, 20:90] = 3
    found = measure(Volume(label, Grid(label.shape, np.eye(4))), labels=LABELS, names=("heart",), dimension=3)
    assert found.volumes_ml[0] == pytest.approx(80 * 90 * 70 / 1000, rel=0.05)


def test_all_structures_together_take_few_numbers():
    assert coarse_cells(4, 2) == (24, 24, 1)
    assert np.prod(coarse_cells(6, 3)) * 6 <= 8192
    assert coarse_cells(len(TOTALSEGMENTATOR_V1), 3) == (4, 4, 4)
