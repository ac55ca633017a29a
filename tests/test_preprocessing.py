"""Preprocessing against SimpleITK's resampling and MONAI's intensity transforms."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.transforms import NormalizeIntensity, ScaleIntensity
from scipy import ndimage

from carina.errors import GeometryError, InvalidInputError
from carina.geometry import Grid, Volume, reorient
from carina.preprocessing import AxisMap, normalise, prepare, prepare_label
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, Window, ZScoreThenRange

ORDERS = list(itertools.permutations(range(3)))
FLIPS = [(False, False, False), (True, False, True), (False, True, True)]
SPACINGS = [(0.7, 0.7, 5.0), (1.5, 1.5, 1.5), (3.0, 2.2, 0.9)]
IDENTITY_WINDOW = Window(lower=-1.0, upper=1.0)


def task(**changes) -> TaskSpec:
    fields = {
        "name": "test_task",
        "kind": "segmentation",
        "description": "A task of the tests.",
        "modality": ("CT",),
        "dimension": 3,
        "labels": label_set("liver", "spleen"),
        "spacing_mm": (2.0, 2.0, 2.0),
        "intensity": IDENTITY_WINDOW,
        "network": NetworkSpec(name="unet"),
    }
    return TaskSpec(**{**fields, **changes})


def oblique(spacing: tuple[float, float, float]) -> np.ndarray:
    """An affine turned by 12° about x and 7° about z, off-centre."""
    a, b = np.deg2rad([12.0, 7.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-31.0, 17.0, -240.0)
    return affine


def smooth_volume(shape: tuple[int, int, int], spacing: tuple[float, float, float], *, seed: int = 0) -> Volume:
    noise = np.random.default_rng(seed).standard_normal(shape)
    array = ndimage.gaussian_filter(noise, 2.0).astype(np.float32)
    return Volume(array / np.abs(array).max() * 0.9, Grid(shape, oblique(spacing)))


def as_sitk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    affine, spacing = volume.grid.affine_lps, volume.grid.spacing_mm
    image.SetSpacing(spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.array(spacing)).ravel().tolist())
    return image


def sitk_resampled(volume: Volume, grid: Grid, interpolator: int) -> np.ndarray:
    empty = Volume(np.zeros(grid.shape, dtype=np.uint8), grid)
    resampled = sitk.Resample(as_sitk(volume), as_sitk(empty), sitk.Transform(), interpolator, -7.0, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)


@pytest.mark.parametrize("spacing", [(1.4, 1.5, 5.0), (2.0, 2.0, 2.0), (3.0, 2.2, 1.4)])
def test_resampling_equals_simpleitks_linear_interpolation(spacing):
    volume = smooth_volume((24, 21, 17), spacing)
    prepared = prepare(volume, task())
    expected = sitk_resampled(volume, prepared.grid, sitk.sitkLinear)
    inside = expected > -6
    assert inside.mean() > 0.8
    assert np.abs(prepared.tensor[0].numpy() - expected)[inside].max() < 1e-4


def test_working_grid_has_exactly_the_tasks_spacing_and_the_images_centre():
    volume = smooth_volume((24, 21, 17), (1.4, 1.5, 5.0))
    prepared = prepare(volume, task())
    assert prepared.grid.spacing_mm == pytest.approx((2.0, 2.0, 2.0))
    assert prepared.grid.shape == (17, 16, 42)
    np.testing.assert_allclose(prepared.grid.corners_ras().mean(0), volume.grid.corners_ras().mean(0), atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_centroid_moves_less_than_half_a_voxel_for_every_orientation_and_spacing(order, flips, spacing):
    size = tuple(max(12, round(60 / s)) for s in spacing)
    grid = Grid(size, oblique(spacing))
    index = np.indices(size).reshape(3, -1).T
    world = index @ grid.affine_ras[:3, :3].T + grid.affine_ras[:3, 3]
    centre = grid.corners_ras().mean(0) + np.array((3.3, -4.1, 2.7))
    ball = (np.linalg.norm(world - centre, axis=1) < 16).reshape(size)
    inverse_order = tuple(int(axis) for axis in np.argsort(order))
    stored = reorient(Volume(np.where(ball, 0.9, -0.9).astype(np.float32), grid), inverse_order, flips)

    prepared = prepare(stored, task())

    seen = (prepared.tensor[0].numpy() + 0.9).astype(np.float64)
    nodes = np.indices(seen.shape).reshape(3, -1)
    found = prepared.grid.affine_ras[:3, :3] @ (nodes @ seen.ravel() / seen.sum()) + prepared.grid.affine_ras[:3, 3]
    truth = world[ball.ravel()].mean(0)
    assert np.abs(found - truth).max() < 0.5 * 0.7
    labelled = prepare_label(Volume(ball[...].astype(np.uint8), grid), prepared)
    found = prepared.grid.affine_ras[:3, :3] @ np.argwhere(labelled).mean(0) + prepared.grid.affine_ras[:3, 3]
    assert np.abs(found - truth).max() < 0.5 * 2.0


def test_label_equals_simpleitks_nearest_neighbour():
    volume = smooth_volume((24, 21, 17), (1.37, 1.51, 4.9))
    label = Volume((volume.array > 0).astype(np.uint8) + (volume.array > 0.3), volume.grid)
    prepared = prepare(volume, task())
    expected = sitk_resampled(label, prepared.grid, sitk.sitkNearestNeighbor)
    inside = expected > -6
    assert inside.mean() > 0.8
    result = prepare_label(label, prepared)
    assert result.dtype == np.uint8
    assert (result == expected)[inside].all()


def test_label_on_a_flipped_grid_of_the_same_voxels_gives_the_same_working_label():
    volume = smooth_volume((24, 21, 17), (1.37, 1.51, 4.9))
    label = Volume((volume.array > 0).astype(np.uint16), volume.grid)
    prepared = prepare(volume, task())
    flipped = reorient(label, (1, 0, 2), (True, False, True))
    np.testing.assert_array_equal(prepare_label(flipped, prepared), prepare_label(label, prepared))


def test_label_that_is_not_integer_is_refused():
    volume = smooth_volume((8, 8, 8), (2.0, 2.0, 2.0))
    with pytest.raises(GeometryError, match="must hold integers"):
        prepare_label(volume, prepare(volume, task()))


def test_thin_structure_survives_coarse_sampling():
    array = np.full((120, 16, 16), -1.0, dtype=np.float32)
    array[60] = 1.0
    volume = Volume(array, Grid(array.shape, np.diag([0.5, 3.0, 3.0, 1.0])))
    for shift in range(6):
        moved = Volume(np.roll(array, shift, axis=0), volume.grid)
        response = prepare(moved, task(spacing_mm=(3.0, 3.0, 3.0))).tensor[0, :, 8, 8]
        assert float((response + 1).max()) > 0.15, shift


def test_volume_of_one_colour_stays_so_wherever_it_is_sampled():
    volume = Volume(np.full((31, 17, 9), 0.25, dtype=np.float32), Grid((31, 17, 9), oblique((0.6, 1.1, 6.5))))
    assert torch.allclose(prepare(volume, task()).tensor, torch.tensor(0.25), atol=1e-6)


def test_image_at_the_tasks_spacing_is_not_interpolated():
    volume = smooth_volume((9, 8, 7), (2.0, 2.0, 2.0))
    np.testing.assert_allclose(prepare(volume, task()).tensor[0].numpy(), volume.array, atol=1e-7)


def test_single_slice_stays_single():
    volume = smooth_volume((20, 20, 1), (1.0, 1.0, 1.0))
    assert prepare(volume, task()).grid.shape == (10, 10, 1)


def test_window_clips_and_scales():
    values = torch.tensor([-2000.0, -1000.0, -300.0, 400.0, 3000.0])
    assert normalise(values, Window(lower=-1000, upper=400)).tolist() == pytest.approx([-1, -1, 0, 1, 1])


def test_z_score_then_range_equals_the_public_bundles_transforms():
    volume = torch.from_numpy(np.random.default_rng(3).integers(-1000, 1500, (14, 13, 12)).astype(np.float32))
    volume[:3] = 0.0
    expected = ScaleIntensity(minv=-1.0, maxv=1.0)(NormalizeIntensity(nonzero=True)(volume[None].clone()))[0]
    assert torch.allclose(normalise(volume, ZScoreThenRange()), torch.as_tensor(expected), atol=1e-5)


def test_z_score_of_an_empty_image_is_zero():
    assert normalise(torch.zeros(4, 4, 4), ZScoreThenRange()).count_nonzero() == 0


def body_with_arm_and_speck() -> Volume:
    array = np.full((100, 80, 30), -1000, dtype=np.int16)
    array[30:70, 20:60, :] = 40
    array[80:90, 30:44, :] = 40
    array[2:5, 2:5, 2:5] = 40
    return Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 2.0, 1.0])))


def test_crop_holds_trunk_and_arm_but_not_a_speck():
    spec = task(body_threshold=-500.0, intensity=Window(lower=-1000, upper=1000))
    prepared = prepare(body_with_arm_and_speck(), spec)
    (x0, x1), (y0, y1), (z0, z1) = (axis.covered() for axis in prepared.axes)
    assert 20 <= x0 <= 30
    assert 90 <= x1 <= 97
    assert 12 <= y0 <= 20
    assert 60 <= y1 <= 67
    assert (z0, z1) == (0, 30)


def test_crop_does_not_change_what_the_network_sees_of_the_body():
    volume = body_with_arm_and_speck()
    spec = task(intensity=ZScoreThenRange())
    whole = prepare(volume, spec)
    cropped = prepare(volume, dataclasses.replace(spec, body_threshold=-500.0))
    start = np.rint(whole.grid.index_of(cropped.grid)[:3, 3]).astype(int)
    same = whole.tensor[0][tuple(slice(s, s + n) for s, n in zip(start, cropped.grid.shape, strict=True))]
    assert cropped.tensor.numel() < 0.7 * whole.tensor.numel()
    assert torch.equal(cropped.tensor[0], same)


def test_volume_without_body_is_not_cropped():
    volume = Volume(np.full((20, 20, 20), -1000, dtype=np.int16), Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0])))
    assert prepare(volume, task(body_threshold=-500.0)).grid.shape == (20, 20, 20)


def test_intensities_that_are_not_finite_are_refused():
    array = np.zeros((8, 8, 8), dtype=np.float32)
    array[4, 4, 4] = np.nan
    with pytest.raises(InvalidInputError, match="must be finite"):
        prepare(Volume(array, Grid(array.shape, np.eye(4))), task())


@pytest.mark.parametrize("size", range(1, 40))
@pytest.mark.parametrize("step", [0.3, 0.75, 1.0, 1.53, 4.0])
def test_uncropped_axis_speaks_for_every_source_voxel(size, step):
    working = max(1, round(size / step))
    axis = AxisMap((size - 1) / 2 - step * (working - 1) / 2, step, working, size)
    assert axis.covered() == (0, size)


def test_two_neighbouring_crops_share_no_source_voxel_and_miss_none():
    axis = AxisMap(0.25, 1.5, 40, 60)
    for cut in range(2, 38):
        assert axis.cropped(0, cut).covered()[1] == axis.cropped(cut, 40).covered()[0]
