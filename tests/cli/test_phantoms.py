from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from carina.dicom.series import read_series
from carina.geometry import resample_label
from carina.images import read_label
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks
from carina.trainers.dataset import read_case_folder


def test_writes_a_layout_that_training_reads(phantoms):
    spec = find_tasks().get("thorax_ct")

    cases = read_case_folder(phantoms / "images", phantoms / "labels", spec)

    assert [case.image_id for case in cases] == ["phantom-007", "phantom-008", "phantom-009"]
    assert [case.patient_id for case in cases] == ["PHANTOM-007", "PHANTOM-008", "PHANTOM-009"]
    image, truth = cases[0].load()
    expected = make_chest(7, shape=(32, 30, 24), spacing_mm=(4, 4, 5), oblique_deg=(6, -4, 9))
    np.testing.assert_array_equal(resample_label(truth, grid=expected.label.grid).array, expected.label.array)
    assert image.grid.matches(truth.grid)


def test_the_series_and_its_truth_share_one_space(phantoms):
    series = read_series(phantoms / "images" / "phantom-008")
    label, _ = read_label(phantoms / "labels" / "phantom-008.nii.gz")

    inside = series.volume.array[resample_label(label, grid=series.volume.grid).array == 1]

    assert series.patient_id == "PHANTOM-008"
    assert np.median(inside) < -700, "the left lung's label lies on air-filled voxels"


def test_labels_json_names_the_values(phantoms):
    values = json.loads((phantoms / "labels" / "labels.json").read_text())

    assert values == find_tasks().get("thorax_ct").labels.indices


def test_a_second_run_adds_patients(carina, phantoms):
    carina("phantom", "--out", phantoms, "--seed", 50, "--shape", "16,16,8")

    rows = (phantoms / "labels" / "cases.csv").read_text().splitlines()

    assert rows[0] == "image,patient"
    assert rows[1:] == [f"phantom-{number:03d},PHANTOM-{number:03d}" for number in (7, 8, 9, 50)]


def test_nifti_images_have_the_orientation_asked_for(carina, tmp_path):
    ran = carina("phantom", "--out", tmp_path, "--nifti", "--shape", "16,12,10", "--orientation", "PIR", "--json")

    image = nib.load(tmp_path / "images" / "phantom-000.nii.gz")
    assert ran.json["cases"][0]["series_instance_uid"] is None
    assert image.shape == (16, 12, 10)
    assert nib.aff2axcodes(image.affine) == ("P", "I", "R")


def test_a_compressed_series_is_read_by_simpleitk(carina, tmp_path):
    ran = carina("phantom", "--out", tmp_path, "--shape", "40,40,3", "--compression", "jpegls", "--json")

    uid = ran.json["cases"][0]["series_instance_uid"]
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "images" / "phantom-000"), uid)
    assert sitk.ReadImage(list(names)).GetSize() == (40, 40, 3)


def test_refuses_a_shape_that_is_none(carina, tmp_path):
    ran = carina("phantom", "--out", tmp_path, "--shape", "96,abc", "--json")

    assert ran.exit_code == 1
    assert ran.json["error"] == "InvalidInputError"
    assert "--shape" in ran.json["detail"]


def test_nodules_can_be_rare(carina, tmp_path):
    options = ("--count", 12, "--nifti", "--shape", "8,8,8", "--nodule-share", 0.25, "--json")
    cases = carina("phantom", "--out", tmp_path / "rare", *options).json["cases"]

    having = [case["id"] for case in cases if case["nodules"]]
    assert 0 < len(having) < 6
    fewer = carina("phantom", "--out", tmp_path / "fewer", "--count", 5, *options[2:]).json["cases"]
    assert [case["id"] for case in fewer if case["nodules"]] == [name for name in having if name < "phantom-005"]
