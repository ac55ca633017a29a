from __future__ import annotations

import hashlib

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from carina.errors import InvalidInputError
from carina.geometry import closest_canonical, reorient
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks

SMALL = (48, 48, 36)


def test_one_seed_gives_one_patient_bit_by_bit():
    first, second = make_chest(11, shape=SMALL), make_chest(11, shape=SMALL)

    assert hashlib.sha256(first.image.array.tobytes()).digest() == hashlib.sha256(second.image.array.tobytes()).digest()
    np.testing.assert_array_equal(first.label.array, second.label.array)


def test_seeds_give_different_patients():
    volumes = {np.count_nonzero(make_chest(seed, shape=SMALL).label.array == 3) for seed in range(5)}

    assert len(volumes) == 5


def test_has_the_labels_of_thorax_ct_under_its_indices():
    phantom = make_chest(0, shape=SMALL)

    assert dict(phantom.structures) == find_tasks().get("thorax_ct").labels.indices
    assert phantom.label.array.dtype == np.uint8
    assert phantom.image.array.dtype == np.int16


@pytest.mark.parametrize("seed", range(8))
def test_every_structure_is_there_and_every_large_organ_is_one_piece(seed):
    phantom = make_chest(seed, shape=(84, 84, 64))

    assert set(np.unique(phantom.label.array)) == set(range(7))
    for name in ("lung_left", "lung_right", "heart", "spine", "trachea"):
        mask = phantom.label.array == phantom.structures[name]
        pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
        largest = np.bincount(pieces.ravel())[1:].max()
        assert largest >= 0.99 * mask.sum(), f"{name} falls into {count} pieces"


def test_labelled_nodules_have_the_volume_of_their_ellipsoids():
    phantom = make_chest(2, shape=(150, 150, 120), oblique_deg=(7, -12, 20))

    measured = (
        np.count_nonzero(phantom.label.array == phantom.structures["nodule"]) * phantom.label.grid.voxel_volume_ml
    )

    assert 1 <= len(phantom.nodules) <= 4
    assert all(6 <= nodule.radius_mm <= 14 for nodule in phantom.nodules)
    np.testing.assert_allclose(measured, sum(nodule.volume_ml for nodule in phantom.nodules), rtol=0.02)


def test_nodules_lie_where_the_affine_says():
    phantom = make_chest(2, shape=(90, 96, 72), oblique_deg=(15, 5, -20), orientation="PIR")

    indices = np.argwhere(phantom.label.array == phantom.structures["nodule"])
    world = nib.affines.apply_affine(phantom.label.grid.affine_ras, indices)
    expected = np.average(
        [nodule.centre_ras_mm for nodule in phantom.nodules],
        axis=0,
        weights=[nodule.volume_ml for nodule in phantom.nodules],
    )

    np.testing.assert_allclose(world.mean(axis=0), expected, atol=1.0)


def test_the_trachea_has_the_cross_section_it_was_drawn_with():
    phantom = make_chest(4, shape=(224, 224, 64), spacing_mm=(1.5, 1.5, 4.0), noise_hu=0)
    slice_k = 58

    area = np.count_nonzero(phantom.label.array[:, :, slice_k] == phantom.structures["trachea"]) * 1.5**2

    np.testing.assert_allclose(area, np.pi * phantom.thorax.trachea_radius**2, rtol=0.06)


@pytest.mark.parametrize(("orientation", "oblique"), [("LPS", (0, 0, 0)), ("RAS", (0, 0, 0)), ("SAL", (10, -15, 20))])
def test_left_is_left_whatever_the_orientation(orientation, oblique):
    phantom = make_chest(3, shape=(60, 60, 60), oblique_deg=oblique, orientation=orientation)

    def centre(name):
        indices = np.argwhere(phantom.label.array == phantom.structures[name])
        return nib.affines.apply_affine(phantom.label.grid.affine_ras, indices).mean(axis=0)

    assert centre("lung_left")[0] < -40 < 40 < centre("lung_right")[0]
    assert centre("spine")[1] < centre("heart")[1]
    assert centre("heart")[2] < centre("trachea")[2]
    if oblique == (0, 0, 0):
        assert "".join(nib.aff2axcodes(phantom.image.grid.affine_ras)) == orientation


def test_flipped_axes_hold_the_same_truth():
    straight = make_chest(5, shape=(40, 44, 36), spacing_mm=(8, 7, 6), orientation="RAS")
    turned = make_chest(5, shape=(36, 40, 44), spacing_mm=(6, 8, 7), orientation="ILP")

    back = reorient(turned.label, *closest_canonical(turned.label.grid))

    assert back.grid.matches(straight.label.grid)
    differing = np.count_nonzero(back.array != straight.label.array)
    assert differing <= 5, "more than rounding at surfaces differs"


def test_the_result_does_not_depend_on_the_slabs(monkeypatch):
    whole = make_chest(6, shape=(40, 36, 30), oblique_deg=(8, 8, 8))
    monkeypatch.setattr("carina.phantoms.chest._SLAB_VOXELS", 40 * 36 * 7)
    in_slabs = make_chest(6, shape=(40, 36, 30), oblique_deg=(8, 8, 8))

    np.testing.assert_array_equal(in_slabs.image.array, whole.image.array)
    np.testing.assert_array_equal(in_slabs.label.array, whole.label.array)


def test_tissues_have_their_hounsfield_ranges():
    phantom = make_chest(7, shape=(120, 120, 80))
    hu, label = phantom.image.array, phantom.label.array

    def median_inside(name):
        return float(np.median(hu[ndimage.binary_erosion(label == phantom.structures[name], iterations=2)]))

    assert -900 < median_inside("lung_left") < -750
    assert 30 < median_inside("heart") < 200
    assert 20 < median_inside("nodule") < 60
    assert hu[label == phantom.structures["spine"]].max() > 300
    assert np.median(hu[label == phantom.structures["trachea"]]) < -900
    assert -1024 <= hu.min() < -900
    assert abs(float(np.median(hu[:3])) + 1000) < 10, "the border is air"


def test_noise_has_its_strength_and_is_alike_in_neighbouring_slices():
    clean = make_chest(8, shape=(96, 96, 40), spacing_mm=(3, 3, 1.5), noise_hu=0).image.array.astype(float)
    noisy = make_chest(8, shape=(96, 96, 40), spacing_mm=(3, 3, 1.5), noise_hu=20).image.array
    noise = (noisy - clean)[20:76, 20:76]

    assert 18 < noise.std() < 22
    neighbours = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    np.testing.assert_allclose(neighbours, np.exp(-1.5 / 2.5), atol=0.05)
    assert abs(np.corrcoef(noise[:, :, :-15].ravel(), noise[:, :, 15:].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"orientation": "LRS"}, "three different axes"),
        ({"orientation": "XYZ"}, "three different axes"),
        ({"shape": (0, 4, 4)}, "three positive sizes"),
        ({"spacing_mm": (1, -1, 1)}, "three positive mm"),
    ],
)
def test_refuses_what_is_no_grid(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        make_chest(0, **arguments)
