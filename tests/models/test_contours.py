"""Contours, against SimpleITK's."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from carina.label_maps import label_type
from carina.models.contours import added_path_length, contour_of, path_to_add
from carina.structures import label_set

RANDOM = np.random.default_rng(4)


def blob(seed: int) -> np.ndarray:
    """Rough, in pieces, with holes, and touching the border of the image."""
    noise = np.random.default_rng(seed).normal(size=(17, 14, 6))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(noise), 1.2))
    return smooth > np.quantile(smooth, 0.6)


def contour_by_itk(mask: np.ndarray) -> np.ndarray:
    """Slice by slice; ITK takes the image to go on beyond its border, so that each slice gets one."""
    slices = []
    for number in range(mask.shape[2]):
        image = sitk.GetImageFromArray(np.pad(mask[..., number], 1).astype(np.uint8))
        contour = sitk.BinaryContour(image, fullyConnected=False, backgroundValue=0, foregroundValue=1)
        slices.append(sitk.GetArrayFromImage(contour)[1:-1, 1:-1] > 0)
    return np.stack(slices, axis=-1)


@pytest.mark.parametrize("seed", range(4))
def test_a_contour_is_that_of_itk(seed):
    assert np.array_equal(contour_of(blob(seed)), contour_by_itk(blob(seed)))


def test_the_added_path_is_what_the_truth_has_of_its_contour_alone():
    drawn, truth = blob(0), blob(1)
    expected = np.count_nonzero(contour_by_itk(truth) & ~contour_by_itk(drawn))
    assert added_path_length(drawn, truth) == expected > 0


def test_nothing_is_added_to_what_is_right_and_all_to_what_is_missing():
    truth = blob(2)
    assert added_path_length(truth, truth) == 0
    assert added_path_length(np.zeros_like(truth), truth) == np.count_nonzero(contour_by_itk(truth))


def test_a_square_moved_by_one_voxel_has_two_sides_to_draw_again():
    truth, drawn = np.zeros((12, 12, 1), bool), np.zeros((12, 12, 1), bool)
    truth[2:8, 3:9] = True
    drawn[3:9, 3:9] = True
    # Of 20 voxels the outer side and the one opposite it are new, but for the ends that both contours hold.
    assert added_path_length(drawn, truth) == np.count_nonzero(contour_by_itk(truth) & ~contour_by_itk(drawn)) == 10


def test_labels_add_up():
    labels = label_set("liver", "spleen")
    values = [labels.values[name] for name in ("liver", "spleen")]
    maps = []
    for first in (0, 5):
        array = np.zeros((17, 14, 6), label_type(labels))
        array[blob(first)] = values[0]
        array[blob(first + 1) & ~blob(first)] = values[1]
        maps.append(array)
    drawn, truth = maps
    expected = sum(added_path_length(drawn == value, truth == value) for value in values)
    assert path_to_add(drawn, truth, labels) == expected
