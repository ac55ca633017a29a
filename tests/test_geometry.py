"""Grids keep voxels where they are in the patient; label maps never gain labels. SimpleITK is the reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from carina.errors import GeometryError
from carina.geometry import (
    Grid,
    Volume,
    closest_canonical,
    ras_to_lps,
    reorient,
    resample_label,
    restore_orientation,
)

SHAPE = (7, 9, 5)
SPACING = (0.7, 1.3, 4.0)


def affine_of(*, order=(0, 1, 2), flips=(False, False, False), rotation_deg=(0.0, 0.0, 0.0)) -> np.ndarray:
    linear = np.zeros((3, 3))
    for world, index in enumerate(order):
        linear[world, index] = (-1 if flips[world] else 1) * SPACING[index]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix() @ linear
    affine[:3, 3] = (12.5, -40.0, 7.25)
    return affine


def random_volume(affine: np.ndarray, *, seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)
    return Volume(array, Grid(SHAPE, affine))


def to_sitk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.array.transpose(2, 1, 0))
    affine = volume.grid.affine_lps
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).flatten().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


ORIENTATIONS = [
    (order, flips) for order in itertools.permutations(range(3)) for flips in itertools.product((False, True), repeat=3)
]


def test_points_and_indices_are_those_of_simpleitk():
    volume = random_volume(affine_of(order=(2, 0, 1), flips=(True, False, True), rotation_deg=(6.0, -4.0, 9.0)))
    indices = np.array([[0.0, 0.0, 0.0], [1.5, 2.0, 3.25], [4.0, -1.0, 0.5]])
    expected = [to_sitk(volume).TransformContinuousIndexToPhysicalPoint(index) for index in indices.tolist()]
    points = volume.grid.points_at(indices)
    np.testing.assert_allclose(points, expected, atol=1e-9)
    np.testing.assert_allclose(volume.grid.indices_of(points), indices, atol=1e-9)


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
@pytest.mark.parametrize("rotation_deg", [(0, 0, 0), (12, -8, 20)])
def test_reorienting_moves_no_voxel_in_the_patient(order, flips, rotation_deg):
    volume = random_volume(affine_of(order=order, flips=flips, rotation_deg=rotation_deg))
    canonical = reorient(volume, *closest_canonical(volume.grid))
    index = np.argwhere(canonical.array == 3)
    world = np.c_[index, np.ones(len(index))] @ canonical.grid.affine_ras.T
    back = np.rint(world @ np.linalg.inv(volume.grid.affine_ras).T)[:, :3].astype(int)
    assert (volume.array[tuple(back.T)] == 3).all()
    assert len(index) == (volume.array == 3).sum()
    assert (np.diag(canonical.grid.affine_ras)[:3] > 0).all()


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_restoring_the_orientation_is_the_inverse(order, flips):
    volume = random_volume(affine_of(order=order, flips=flips))
    turn = closest_canonical(volume.grid)
    assert np.array_equal(restore_orientation(reorient(volume, *turn).array, *turn), volume.array)


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_a_label_with_flipped_and_permuted_axes_loses_no_voxel(order, flips):
    image = Grid(SHAPE, affine_of(rotation_deg=(5, 6, 7)))
    label = reorient(random_volume(image.affine_ras), order, flips)
    assert np.array_equal(resample_label(label, grid=image).array, random_volume(image.affine_ras).array)


@pytest.mark.parametrize("rotation_deg", [(0, 0, 0), (10, -15, 25)])
def test_resampling_to_another_grid_agrees_with_simpleitk(rotation_deg):
    label = random_volume(affine_of(rotation_deg=(3, 0, 0)))
    affine = affine_of(rotation_deg=rotation_deg) @ np.diag([0.83, 0.71, 0.59, 1.0])
    affine[:3, 3] += (0.31, -0.17, 0.23)
    target = Grid((8, 11, 6), affine)
    reference = sitk.Resample(
        to_sitk(label),
        to_sitk(Volume(np.zeros(target.shape, np.uint8), target)),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
    )
    expected = sitk.GetArrayFromImage(reference).transpose(2, 1, 0)
    assert (resample_label(label, grid=target).array == expected).mean() > 0.995


def test_a_label_that_lies_elsewhere_is_refused():
    label = random_volume(affine_of())
    far = affine_of()
    far[:3, 3] += 500
    with pytest.raises(GeometryError, match="must overlap its image"):
        resample_label(label, grid=Grid(SHAPE, far))


def test_an_empty_label_may_lie_anywhere():
    far = affine_of()
    far[:3, 3] += 500
    empty = Volume(np.zeros(SHAPE, np.uint8), Grid(SHAPE, affine_of()))
    assert not resample_label(empty, grid=Grid(SHAPE, far)).array.any()


@given(st.integers(0, 2**16), st.floats(0.4, 3.0), st.floats(-20, 20))
@settings(max_examples=30, deadline=None)
def test_resampling_never_invents_a_label(seed, scale, shift):
    label = random_volume(affine_of(), seed=seed)
    label.array[label.array == 2] = 0
    affine = affine_of() @ np.diag([scale, scale, scale, 1])
    affine[0, 3] += shift
    try:
        result = resample_label(label, grid=Grid((6, 6, 6), affine))
    except GeometryError:
        return
    assert set(np.unique(result.array)) <= {0, 1, 3}


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 1, 1), np.eye(4)),
        ((2, 2, 2), np.zeros((4, 4))),
        ((2, 2, 2), np.full((4, 4), np.nan)),
        ((2, 2, 2), np.eye(3)),
    ],
)
def test_a_damaged_header_is_refused(shape, affine):
    with pytest.raises(GeometryError):
        Grid(shape, affine)


def test_array_and_grid_must_agree():
    with pytest.raises(GeometryError, match=r"\(7, 9, 5\), got \(7, 9, 4\)"):
        Volume(np.zeros((7, 9, 4)), Grid(SHAPE, np.eye(4)))


def test_grids_match_within_a_hundredth_of_a_millimetre():
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 3] = 0.009, 0.011
    grid = Grid(SHAPE, np.eye(4))
    assert grid.matches(Grid(SHAPE, near))
    assert not grid.matches(Grid(SHAPE, far))
    assert not grid.matches(Grid((7, 9, 6), np.eye(4)))


def test_changing_the_frame_twice_changes_nothing():
    affine = affine_of(rotation_deg=(1, 2, 3))
    assert np.allclose(ras_to_lps(ras_to_lps(affine)), affine)


def test_volume_of_a_voxel_is_in_millilitres():
    assert Grid(SHAPE, affine_of(rotation_deg=(9, 9, 9))).voxel_volume_ml == pytest.approx(0.7 * 1.3 * 4.0 / 1000)
