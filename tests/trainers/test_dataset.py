"""Every documented folder layout is found, grids are aligned by position, and mistakes are named."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest
import SimpleITK as sitk

from carina.errors import InvalidInputError, LabelError
from carina.geometry import Grid, Volume
from carina.images import write_image, write_label
from carina.structures import label_set
from carina.trainers.dataset import read_case_folder

from .conftest import draw_toy

VALUES = {"spleen": 7, "liver": 3, "heart": 9}
TO_FOREIGN = np.array([0, 3, 7], dtype=np.uint8)


def put(folder, *, image=None, label=None, values=VALUES, seed=0):
    """Write a toy image and its label in a foreign numbering."""
    for path in (image, label):
        if path is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    volume, truth = draw_toy(seed)
    if image is not None:
        write_image(folder / image, volume)
    if label is not None:
        write_label(folder / label, Volume(TO_FOREIGN[truth.array], truth.grid))
        (folder / label).parent.joinpath("labels.json").write_text(json.dumps(values))
    return volume, truth


def check(case, volume, truth):
    image, label = case.load()
    assert image.grid.matches(volume.grid)
    np.testing.assert_array_equal(label.array, truth.array)
    assert label.grid.matches(image.grid)


@pytest.mark.parametrize(
    ("image", "label", "expected_id"),
    [
        ("images/p1.nii.gz", "labels/p1.nii.gz", "p1"),
        ("images/p1.nrrd", "labels/p1.nii.gz", "p1"),
        ("images/p1/image.nii.gz", "labels/p1/labels.nii.gz", "p1"),
        ("images/p1.nii.gz", "labels/p1/labels.nii.gz", "p1"),
        ("images/image.nii.gz", "labels/labels.nii.gz", "images"),
    ],
)
def test_finds_each_layout_and_maps_labels_by_name(tmp_path, spec, image, label, expected_id):
    volume, truth = put(tmp_path, image=image, label=label)
    (case,) = read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    assert (case.image_id, case.patient_id) == (expected_id, expected_id)
    assert case.annotated == {"liver", "spleen"}
    check(case, volume, truth)


def test_image_and_label_may_share_a_folder(tmp_path, spec):
    volume, truth = put(tmp_path / "one", image="image.nii.gz", label="labels.nii.gz")
    (case,) = read_case_folder(tmp_path / "one", tmp_path / "one", spec)
    assert case.image_id == "one"
    check(case, volume, truth)


def test_folders_of_image_and_labels_are_a_case_each(tmp_path, spec):
    first = put(tmp_path / "a", image="image.nii.gz", label="labels.nii.gz", seed=1)
    second = put(tmp_path / "b", image="image.nii.gz", label="labels.nii.gz", seed=2)
    cases = read_case_folder(tmp_path, tmp_path, spec)
    assert [case.image_id for case in cases] == ["a", "b"]
    check(cases[0], *first)
    check(cases[1], *second)


def test_a_label_with_other_axes_is_brought_onto_the_image(tmp_path, spec):
    volume, truth = put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz")
    path = str(tmp_path / "labels" / "p1.nii.gz")
    turned = sitk.DICOMOrient(sitk.ReadImage(path), "PSR")
    assert turned.GetSize() != volume.grid.shape
    sitk.WriteImage(turned, path)
    (case,) = read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    check(case, volume, truth)


def test_masks_become_one_label_map_and_overlap_is_told(tmp_path, spec, caplog):
    _, truth = put(tmp_path, image="images/p1.nii.gz")
    folder = tmp_path / "masks" / "p1"
    folder.mkdir(parents=True)
    liver, spleen = (truth.array == index for index in (1, 2))
    spleen = spleen | np.roll(liver, 3, axis=0)
    write_label(folder / "liver.nii.gz", Volume(liver.astype(np.uint8), truth.grid))
    write_label(folder / "spleen.nii.gz", Volume(spleen.astype(np.uint8) * 255, truth.grid))
    for labels in (tmp_path, tmp_path / "masks"):
        (case,) = read_case_folder(tmp_path / "images", labels, spec)
        with caplog.at_level(logging.WARNING, logger="carina"):
            _, label = case.load()
        np.testing.assert_array_equal(label.array == 2, spleen)
        np.testing.assert_array_equal(label.array == 1, liver & ~spleen)
    assert (liver & spleen).any()
    assert "overlap" in caplog.text


def put_masks(folder, image_id, labels, *, seed):
    """Write a toy image and masks of some of its structures, called by any names of the task."""
    _, truth = put(folder, image=f"images/{image_id}.nii.gz", seed=seed)
    for name in labels:
        path = folder / "masks" / image_id / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, Volume((truth.array > 0).astype(np.uint8), truth.grid))


def test_anatomy_without_a_mask_was_not_drawn_and_that_is_said(tmp_path, spec, caplog):
    put_masks(tmp_path, "p1", ("liver", "spleen"), seed=1)
    put_masks(tmp_path, "p2", ("liver",), seed=2)
    with caplog.at_level(logging.WARNING, logger="carina"):
        cases = read_case_folder(tmp_path / "images", tmp_path, spec)
    assert [case.annotated for case in cases] == [{"liver", "spleen"}, {"liver"}]
    assert "1 mask(s) that other images have are missing" in caplog.text
    assert "spleen of 'p2'" in caplog.text
    assert "add an empty mask" in caplog.text


def test_an_altered_structure_without_a_mask_is_not_there_if_another_image_has_one(tmp_path, spec, caplog):
    lungs = dataclasses.replace(spec, labels=label_set("lung_left", "nodule", "consolidation"))
    put_masks(tmp_path, "p1", ("lung_left", "nodule"), seed=1)
    put_masks(tmp_path, "p2", ("lung_left",), seed=2)
    with caplog.at_level(logging.WARNING, logger="carina"):
        cases = read_case_folder(tmp_path / "images", tmp_path, lungs)
    assert [case.annotated for case in cases] == [{"lung_left", "nodule"}] * 2
    assert not caplog.text


def test_an_image_with_masks_of_nothing_of_the_task_is_left_out(tmp_path, spec):
    put_masks(tmp_path, "p1", ("liver",), seed=1)
    put_masks(tmp_path, "p2", ("heart",), seed=2)
    assert [case.image_id for case in read_case_folder(tmp_path / "images", tmp_path, spec)] == ["p1"]


def test_cases_csv_says_which_patient(tmp_path, spec):
    for seed in (1, 2):
        put(tmp_path, image=f"images/p{seed}.nii.gz", label=f"labels/p{seed}.nii.gz", seed=seed)
    table = tmp_path / "images" / "cases.csv"
    table.write_text("image,patient,sex\np1.nii.gz,ann,F\np2,ann,F\n")
    assert [case.patient_id for case in read_case_folder(tmp_path / "images", tmp_path / "labels", spec)] == ["ann"] * 2
    table.write_text("image,patient\np1,ann\n")
    with pytest.raises(InvalidInputError, match="none for 'p2'"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    table.write_text("file,who\np1,ann\n")
    with pytest.raises(InvalidInputError, match="columns image and patient"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)


def test_revision_changes_with_the_label_only(tmp_path, spec):
    put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz")
    folders = (tmp_path / "images", tmp_path / "labels", spec)
    before = read_case_folder(*folders)[0].revision
    assert read_case_folder(*folders)[0].revision == before
    (tmp_path / "labels" / "labels.json").write_text(json.dumps({"liver": 7, "spleen": 3}))
    assert read_case_folder(*folders)[0].revision != before


def test_names_that_are_not_the_tasks_are_left_out_with_a_warning(tmp_path, spec, caplog):
    put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz", values={"liver": 3, "spleem": 7})
    with caplog.at_level(logging.WARNING, logger="carina"):
        (case,) = read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    assert "Did you mean 'spleen'" in caplog.text
    assert case.annotated == {"liver"}
    assert set(np.unique(case.load()[1].array)) == {0, 1}


def test_no_name_of_the_task_is_an_error(tmp_path, spec):
    put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz", values={"livr": 3, "x": 7})
    with pytest.raises(LabelError, match=r"got livr, x\. Did you mean 'liver'"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)


def test_values_without_a_name_are_an_error(tmp_path, spec):
    put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz", values={"liver": 3})
    (case,) = read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    with pytest.raises(LabelError, match=r"got \[7\]"):
        case.load()


@pytest.mark.parametrize("content", ["{", '["liver"]', '{"liver": 0}', '{"liver": 1.5}', '{"liver": true}'])
def test_bad_labels_json_is_an_error(tmp_path, spec, content):
    put(tmp_path, image="images/p1.nii.gz", label="labels/p1.nii.gz")
    (tmp_path / "labels" / "labels.json").write_text(content)
    with pytest.raises(InvalidInputError, match=r"labels\.json"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)


def test_missing_pairs_and_folders_are_errors(tmp_path, spec):
    with pytest.raises(InvalidInputError, match="must be a folder"):
        read_case_folder(tmp_path / "nowhere", tmp_path, spec)
    with pytest.raises(InvalidInputError, match="must hold images, got none"):
        read_case_folder(tmp_path, tmp_path, spec)
    put(tmp_path, image="images/p1.nii.gz")
    put(tmp_path, label="labels/p2.nii.gz")
    with pytest.raises(InvalidInputError, match="none with a label"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)
    (tmp_path / "labels" / "labels.json").unlink()
    (tmp_path / "labels" / "p2.nii.gz").rename(tmp_path / "labels" / "p1.nii.gz")
    with pytest.raises(InvalidInputError, match=r"no labels\.json"):
        read_case_folder(tmp_path / "images", tmp_path / "labels", spec)


@pytest.mark.integration
def test_reads_the_real_abdomen_series_without_losing_a_voxel(test_data, spec):
    from carina.images import read_label

    folder = test_data / "ct_abdomen_jpeg2000"
    values = json.loads((folder / "labels.json").read_text())
    wide = dataclasses.replace(spec, labels=label_set("liver", "aorta"))
    (case,) = read_case_folder(folder, folder, wide)
    assert case.image_id == "dicom"
    label = case.load()[1].array
    original = read_label(folder / "labels.nii.gz")[0].array
    for name in ("liver", "aorta"):
        there = np.count_nonzero(original == values[name])
        assert there > 0
        assert np.count_nonzero(label == wide.labels.named(name).index) == there


@pytest.fixture
def radiograph_spec(spec):
    labels = label_set("lung_left", "lung_right", "cardiomediastinum", overlapping=True)
    return dataclasses.replace(spec, labels=labels, dimension=2)


def test_overlapping_masks_under_a_data_sets_own_names_are_all_kept(tmp_path, radiograph_spec, caplog):
    random = np.random.default_rng(0)
    grid = Grid((9, 7, 1), np.diag([-1.0, -1.0, 1.0, 1.0]))
    masks = {name: random.random(grid.shape) < 0.5 for name in ("left_lung", "cardiomediastinum")}
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.png", Volume(np.ones(grid.shape, dtype=np.uint8), grid))
    for name, mask in masks.items():
        write_label(tmp_path / "masks" / "a" / f"{name}.png", Volume(mask.astype(np.uint8), grid))
    with caplog.at_level(logging.WARNING):
        (case,) = read_case_folder(tmp_path / "images", tmp_path, radiograph_spec)
        _, label = case.load()
    np.testing.assert_array_equal(label.array & 1, masks["left_lung"])
    np.testing.assert_array_equal(label.array >> 2, masks["cardiomediastinum"])
    assert case.annotated == {"lung_left", "cardiomediastinum"}
    assert "overlap" not in caplog.text


def test_a_label_map_becomes_bits_where_the_tasks_labels_overlap(tmp_path, radiograph_spec):
    volume, truth = draw_toy(0)
    write_image(tmp_path / "a.nii.gz", volume)
    (tmp_path / "labels").mkdir()
    write_label(tmp_path / "labels" / "a.nii.gz", truth)
    (tmp_path / "labels" / "labels.json").write_text('{"right_lung": 1, "cardiomediastinum": 2}')
    (case,) = read_case_folder(tmp_path, tmp_path / "labels", radiograph_spec)
    np.testing.assert_array_equal(case.load()[1].array, np.array([0, 2, 4])[truth.array])
