"""A size is told as a volume, or in a projection as an area, as large as SimpleITK measures it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from carina.geometry import Grid
from carina.sizes import size_unit


def unit_of(shape, spacing, **what):
    return size_unit(Grid(shape, np.diag([*spacing, 1.0])), **what)


def physical_size(array: np.ndarray, spacing) -> float:
    image = sitk.GetImageFromArray(array.T.astype(np.uint8))
    image.SetSpacing(spacing)
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(image)
    return measured.GetPhysicalSize(1)


def test_in_a_volume_it_is_what_simpleitk_measures_in_ml():
    array = np.random.default_rng(0).integers(0, 2, (7, 6, 5))
    unit = unit_of(array.shape, (0.7, 1.3, 2.5), projection=False, pixel_size_known=False)
    assert array.sum() * unit.per_voxel == pytest.approx(physical_size(array, (0.7, 1.3, 2.5)) / 1000)
    assert (unit.key, unit.shown) == ("volumes_ml", "ml")


def test_in_a_projection_it_is_what_simpleitk_measures_in_square_centimetres():
    array = np.random.default_rng(0).integers(0, 2, (7, 6))
    unit = unit_of((7, 6, 1), (0.15, 0.2, 1.0), projection=True, pixel_size_known=True)
    assert array.sum() * unit.per_voxel == pytest.approx(physical_size(array, (0.15, 0.2)) / 100)
    assert (unit.key, unit.shown) == ("areas_cm2", "cm²")


def test_in_a_projection_whose_pixels_have_no_size_it_is_a_share_of_the_image():
    unit = unit_of((8, 5, 1), (1.0, 1.0, 1.0), projection=True, pixel_size_known=False)
    assert 10 * unit.per_voxel == pytest.approx(25)
    assert unit.text(25.0) == "25 % of the image"


@pytest.mark.parametrize(("size", "said"), [(0.04, "0.0 ml"), (9.94, "9.9 ml"), (10.6, "11 ml"), (1073.7, "1074 ml")])
def test_small_sizes_have_a_decimal(size, said):
    assert unit_of((2, 2, 2), (1, 1, 1), projection=False, pixel_size_known=False).text(size) == said
