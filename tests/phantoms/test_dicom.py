from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from carina.errors import GeometryError, InvalidInputError
from carina.geometry import Grid, Volume
from carina.phantoms.chest import make_chest
from carina.phantoms.dicom import write_series

SHAPE = (40, 36, 9)


def _oblique(seed=1, **options):
    return make_chest(seed, shape=SHAPE, oblique_deg=(12, -9, 24), **options).image


def _read_with_simpleitk(folder, series_instance_uid):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series_instance_uid)
    image = sitk.ReadImage(list(names))
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    affine_lps[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine_lps


@pytest.mark.parametrize("compression", ["none", "rle", "jpegls", "jpeg2000"])
def test_simpleitk_reads_back_every_voxel_where_it_was(tmp_path, compression):
    image = _oblique()
    series = write_series(image, tmp_path, patient_id="PHANTOM-001", seed=1, compression=compression)

    array, affine_lps = _read_with_simpleitk(tmp_path, series.series_instance_uid)

    np.testing.assert_array_equal(array, image.array)
    np.testing.assert_allclose(affine_lps, image.grid.affine_lps, atol=1e-5)


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "PSR", "ASL"])
def test_positions_and_directions_follow_the_affine(tmp_path, orientation):
    image = _oblique(orientation=orientation)
    series = write_series(image, tmp_path, patient_id="PHANTOM-002")

    for index in (0, SHAPE[2] - 1):
        dataset = pydicom.dcmread(series.files[index])
        expected = image.grid.affine_lps @ [3, 5, index, 1]
        row, column = np.reshape(np.array(dataset.ImageOrientationPatient, dtype=float), (2, 3))
        spacing = [float(value) for value in dataset.PixelSpacing]
        found = np.array(dataset.ImagePositionPatient, dtype=float) + 3 * spacing[1] * row + 5 * spacing[0] * column
        np.testing.assert_allclose(found, expected[:3], atol=1e-4)
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert hu[5, 3] == image.array[3, 5, index]


def test_names_and_numbers_say_nothing_about_geometry(tmp_path):
    series = write_series(_oblique(), tmp_path, patient_id="PHANTOM-003", seed=3)

    numbers = [int(pydicom.dcmread(path).InstanceNumber) for path in series.files]

    assert sorted(numbers) == list(range(1, SHAPE[2] + 1))
    assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def test_can_be_written_in_order(tmp_path):
    series = write_series(_oblique(), tmp_path, patient_id="PHANTOM-003", shuffled=False)

    assert [path.name for path in series.files] == sorted(path.name for path in series.files)


def test_writing_twice_gives_the_same_objects_and_another_seed_other_ones(tmp_path):
    first = write_series(_oblique(), tmp_path / "a", patient_id="P", seed=1)
    second = write_series(_oblique(), tmp_path / "b", patient_id="P", seed=1)
    other = write_series(_oblique(), tmp_path / "c", patient_id="P", seed=2)

    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
    assert first.series_instance_uid != other.series_instance_uid
    assert first.study_instance_uid != other.study_instance_uid
    uids = {str(pydicom.dcmread(path).SOPInstanceUID) for path in (*first.files, *other.files)}
    assert len(uids) == 2 * SHAPE[2]
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def test_the_patient_is_fictional(tmp_path):
    series = write_series(_oblique(), tmp_path, patient_id="PHANTOM-042", seed=42)

    dataset = pydicom.dcmread(series.files[0])

    assert str(dataset.PatientName) == "Phantom^042"
    assert dataset.PatientID == series.patient_id == "PHANTOM-042"
    assert dataset.PatientBirthDate == ""


@pytest.mark.parametrize("compression", ["none", "jpeg2000"])
def test_dciodvfy_finds_no_error(tmp_path, compression):
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    series = write_series(_oblique(), tmp_path, patient_id="PHANTOM-001", compression=compression)

    done = subprocess.run([dciodvfy, str(series.files[0])], capture_output=True, text=True, check=False)

    assert "CTImage" in done.stdout + done.stderr
    assert "Error" not in done.stdout + done.stderr


def test_refuses_a_sheared_grid(tmp_path):
    affine = np.eye(4)
    affine[0, 2] = 0.3

    with pytest.raises(GeometryError, match="perpendicular"):
        write_series(Volume(np.zeros((4, 4, 4)), Grid((4, 4, 4), affine)), tmp_path, patient_id="P")


def test_refuses_intensities_it_cannot_store(tmp_path):
    volume = Volume(np.full((4, 4, 4), -2000.0), Grid((4, 4, 4), np.eye(4)))

    with pytest.raises(InvalidInputError, match=r"-1024.*Clip"):
        write_series(volume, tmp_path, patient_id="P")


def test_refuses_an_unknown_compression(tmp_path):
    with pytest.raises(InvalidInputError, match="Did you mean 'jpeg2000'"):
        write_series(_oblique(), tmp_path, patient_id="P", compression="jpeg200")


def test_refuses_slices_too_small_for_jpeg_2000(tmp_path):
    volume = Volume(np.zeros((31, 40, 2)), Grid((31, 40, 2), np.eye(4)))

    with pytest.raises(InvalidInputError, match="32 pixels"):
        write_series(volume, tmp_path, patient_id="P", compression="jpeg2000")
