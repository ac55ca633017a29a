"""Metrics agree with MONAI and SimpleITK on random shapes, and say what empty structures mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from carina.errors import GeometryError
from carina.geometry import Grid, Volume
from carina.models.metrics import compare, dice, hd95_mm, mean_of_defined, surface_dice, volume_error_ml
from carina.structures import label_set

SPACING = (0.8, 1.7, 3.1)
EMPTY = np.zeros((6, 5, 4), dtype=bool)


def blobs(seed: int, shape=(19, 16, 13)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return noise > np.quantile(noise, 0.8)


def as_batch(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float()


def two_classes(mask: np.ndarray) -> torch.Tensor:
    """One-hot, the background first."""
    return torch.cat([as_batch(~mask), as_batch(mask)], dim=1)


@pytest.mark.parametrize("seed", range(5))
def test_dice_is_monais(seed):
    a, b = blobs(seed), blobs(seed + 100)
    assert dice(a, b) == pytest.approx(float(compute_dice(as_batch(a), as_batch(b))), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_hd95_is_monais(seed):
    a, b = blobs(seed), blobs(seed + 100)
    expected = float(compute_hausdorff_distance(as_batch(a), as_batch(b), percentile=95, spacing=SPACING))
    assert hd95_mm(a, b, spacing_mm=SPACING) == pytest.approx(expected, rel=1e-5)


def test_dice_and_volume_are_simpleitks():
    a, b = blobs(1), blobs(2)
    image_a, image_b = (sitk.GetImageFromArray(mask.astype(np.uint8).T) for mask in (a, b))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(image_a, image_b)
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient())
    shape = sitk.LabelShapeStatisticsImageFilter()
    volumes = []
    for image in (image_a, image_b):
        image.SetSpacing(SPACING)
        shape.Execute(image)
        volumes.append(shape.GetPhysicalSize(1) / 1000)
    error = volume_error_ml(a, b, voxel_volume_ml=math.prod(SPACING) / 1000)
    assert error == pytest.approx(volumes[0] - volumes[1])


@pytest.mark.parametrize("tolerance_mm", [0.0, 1.0, 3.2])
def test_surface_dice_is_monais(tolerance_mm):
    a, b = blobs(3), blobs(103)
    theirs = compute_surface_dice(two_classes(a), two_classes(b), class_thresholds=[tolerance_mm], spacing=SPACING)
    assert surface_dice(a, b, spacing_mm=SPACING, tolerance_mm=tolerance_mm) == pytest.approx(float(theirs), abs=1e-6)


def test_hd95_of_shifted_planes_is_the_shift_in_millimetres():
    a, b = np.zeros((9, 9, 9), dtype=bool), np.zeros((9, 9, 9), dtype=bool)
    a[:, :, 2], b[:, :, 5] = True, True
    assert hd95_mm(a, b, spacing_mm=SPACING) == pytest.approx(3 * SPACING[2])


@pytest.mark.parametrize("shape", [(40, 36, 1), (1, 40, 36)])
def test_in_a_single_slice_the_surface_is_the_outline(shape):
    flat = shape.index(1)
    page, spacing = tuple(size for size in shape if size > 1), tuple(np.delete(SPACING, flat).tolist())
    a, b = (blobs(seed, shape=page) for seed in (1, 101))
    masks = [np.expand_dims(mask, flat) for mask in (a, b)]
    apart = float(compute_hausdorff_distance(as_batch(a), as_batch(b), percentile=95, spacing=spacing))
    assert hd95_mm(*masks, spacing_mm=SPACING) == pytest.approx(apart, rel=1e-5)
    near = float(compute_surface_dice(two_classes(a), two_classes(b), class_thresholds=[1.0], spacing=spacing))
    assert surface_dice(*masks, spacing_mm=SPACING, tolerance_mm=1.0) == pytest.approx(near, abs=1e-6)
    grid = Grid(shape, np.diag([*SPACING, 1.0]))
    rows = compare(*(Volume(mask.astype(np.uint8), grid) for mask in masks), labels=label_set("liver"))
    assert rows["liver"]["hd95_mm"] == pytest.approx(apart, rel=1e-5)


def test_a_structure_in_one_slice_of_a_volume_is_all_surface():
    a, b = np.zeros((12, 12, 5), dtype=bool), np.zeros((12, 12, 5), dtype=bool)
    a[2:10, 2:10, 2], b[1:11, 1:11, 2] = True, True
    grid = Grid(a.shape, np.diag([*SPACING, 1.0]))
    rows = compare(*(Volume(mask.astype(np.uint8), grid) for mask in (a, b)), labels=label_set("liver"))
    expected = float(compute_hausdorff_distance(as_batch(a), as_batch(b), percentile=95, spacing=SPACING))
    assert rows["liver"]["hd95_mm"] == pytest.approx(expected, rel=1e-5)


def test_empty_structures_have_their_documented_values():
    full = ~EMPTY
    assert math.isnan(dice(EMPTY, EMPTY))
    assert dice(full, EMPTY) == dice(EMPTY, full) == 0
    for a, b in ((EMPTY, EMPTY), (full, EMPTY), (EMPTY, full)):
        assert math.isnan(hd95_mm(a, b, spacing_mm=SPACING))
        assert math.isnan(surface_dice(a, b, spacing_mm=SPACING, tolerance_mm=1.0))
    assert volume_error_ml(EMPTY, EMPTY, voxel_volume_ml=0.001) == 0
    assert volume_error_ml(EMPTY, full, voxel_volume_ml=0.001) == pytest.approx(-0.12)


def test_compare_crops_without_changing_any_metric():
    labels = label_set("liver", "spleen", "heart")
    affine = np.diag([*SPACING, 1.0])
    random = np.random.default_rng(3)
    truth = np.zeros((20, 18, 12), dtype=np.uint8)
    truth[3:9, 4:12, 2:8], truth[11:17, 2:9, 3:11] = 1, 2
    prediction = np.where(random.random(truth.shape) < 0.1, random.integers(0, 3, truth.shape), truth).astype(np.uint8)
    grid = Grid(truth.shape, affine)
    rows = compare(Volume(prediction, grid), Volume(truth, grid), labels=labels)
    for label in labels:
        a, b = prediction == label.index, truth == label.index
        row = rows[label.name]
        assert row["dice"] == pytest.approx(dice(a, b), nan_ok=True)
        assert row["hd95_mm"] == pytest.approx(hd95_mm(a, b, spacing_mm=SPACING), nan_ok=True)
        assert row["volume_error_ml"] == pytest.approx(volume_error_ml(a, b, voxel_volume_ml=grid.voxel_volume_ml))
    assert math.isnan(rows["heart"]["dice"])
    assert "hd95_mm" not in compare(Volume(truth, grid), Volume(truth, grid), labels=labels, surface=False)["liver"]


def test_compare_refuses_another_grid():
    label = np.zeros((4, 4, 4), dtype=np.uint8)
    there, elsewhere = Grid(label.shape, np.eye(4)), Grid(label.shape, np.diag([2.0, 1, 1, 1]))
    with pytest.raises(GeometryError, match="reference's grid"):
        compare(Volume(label, there), Volume(label, elsewhere), labels=label_set("liver"))


def test_mean_leaves_out_what_is_undefined():
    assert mean_of_defined([1.0, math.nan, 0.0]) == 0.5
    assert math.isnan(mean_of_defined([math.nan]))


class TestChance:
    """`chance_dice` is what drawings that know nothing reach on average."""

    LABELS = label_set("liver", "spleen", "heart")

    def rows(self, prediction, truth):
        grid = Grid(truth.shape, np.eye(4))
        return compare(Volume(prediction, grid), Volume(truth, grid), labels=self.LABELS, surface=False)

    def truth(self):
        label = np.zeros((24, 20, 16), dtype=np.uint8)
        label[4:14, 4:12, 3:12], label[14:20, 8:17, 2:11], label[6:10, 13:18, 4:12] = 1, 2, 3
        return label

    def test_voxels_in_random_places_are_at_chance(self):
        truth = self.truth()
        gains = []
        for seed in range(30):
            shuffled = np.random.default_rng(seed).permutation(truth.ravel()).reshape(truth.shape)
            rows = self.rows(shuffled, truth)
            gains.append([row["dice"] - row["chance_dice"] for row in rows.values()])
            inside = (truth > 0).mean()
            assert rows["liver"]["chance_dice"] == pytest.approx((truth == 1).mean(), rel=0.25)
            assert 0 < inside < 1
        assert np.abs(np.mean(gains, axis=0)).max() < 0.01

    def test_the_right_places_under_random_names_are_at_chance(self):
        truth = self.truth()
        gains = []
        for seed in range(30):
            named = truth.copy()
            named[truth > 0] = np.random.default_rng(seed).permutation(truth[truth > 0])
            gains.append([row["dice"] - row["chance_dice"] for row in self.rows(named, truth).values()])
        assert np.abs(np.mean(gains, axis=0)).max() < 0.01

    def test_one_name_for_every_structure_is_at_chance_unless_it_dominates(self):
        truth = self.truth()
        everything = (truth > 0).astype(np.uint8)
        row = self.rows(everything, truth)["liver"]
        assert row["dice"] == pytest.approx(row["chance_dice"])
        truth[truth == 3] = 0
        truth[14:20, 8:17, 2:11] = 0
        truth[0, 0, 0] = 2
        row = self.rows((truth > 0).astype(np.uint8), truth)["liver"]
        assert row["dice"] > 0.99
        assert row["chance_dice"] < 0.5

    def test_a_right_drawing_is_far_above_chance(self):
        truth = self.truth()
        rows = self.rows(truth, truth)
        assert all(row["dice"] - row["chance_dice"] > 0.35 for row in rows.values())
        assert rows["liver"]["reference_ml"] == pytest.approx((truth == 1).sum() / 1000)
