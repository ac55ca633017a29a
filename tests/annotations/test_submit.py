"""What a client sends is checked before anything is stored."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from carina.annotations.database import Database
from carina.annotations.files import LabelFiles
from carina.annotations.patients import PatientKeys
from carina.annotations.store import AnnotationStore
from carina.annotations.submit import PREDICTION, for_task, submit_findings, submit_label
from carina.errors import GeometryError, LabelError, UnknownLabelError, UnsafeIdError
from carina.geometry import Grid, Volume
from carina.registry import find_tasks
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, Window

from .conftest import NAMES

SPEC = TaskSpec(
    name="abdomen_test",
    kind="segmentation",
    description="Two organs.",
    modality=("CT",),
    dimension=3,
    labels=label_set("aorta", "liver", "spleen"),
    spacing_mm=None,
    intensity=Window(lower=-100, upper=200),
    network=NetworkSpec(name="unet"),
)


def send(store, label, grid, **more):
    return submit_label(store, image_id="1.2.3", image=grid, label=label, **{"client_names": NAMES, **more})


def test_keeps_a_sparse_numbering_as_the_client_sent_it(store, label, grid):
    annotation = send(store, label, grid)
    volume, names = store.read(annotation)
    np.testing.assert_array_equal(volume.array, label.array)
    assert names == NAMES


def test_a_flipped_and_permuted_label_comes_back_on_the_image_grid_like_simpleitk_puts_it(store, label, grid):
    flipped = np.ascontiguousarray(label.array.transpose(2, 0, 1)[::-1, :, ::-1])
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[0, 1], matrix[1, 2], matrix[3, 3] = -1, 1, -1, 1
    matrix[2, 3], matrix[1, 3] = label.array.shape[2] - 1, label.array.shape[1] - 1
    moved = Volume(flipped, Grid(flipped.shape, grid.affine_ras @ matrix))

    stored, _ = store.read(send(store, moved, grid))

    expected = sitk.Resample(
        _as_sitk(moved),
        _as_sitk(Volume(np.zeros(grid.shape, np.uint8), grid)),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
    )
    np.testing.assert_array_equal(stored.array, sitk.GetArrayFromImage(expected).transpose(2, 1, 0))
    np.testing.assert_array_equal(stored.array, label.array)
    np.testing.assert_array_equal(stored.grid.affine_ras, grid.affine_ras)


def test_a_label_beside_its_image_is_refused_and_nothing_stored(store, label, grid):
    affine = grid.affine_ras.copy()
    affine[:3, 3] += 5000
    with pytest.raises(GeometryError, match="overlap"):
        send(store, Volume(label.array, Grid(grid.shape, affine)), grid)
    assert store.versions("1.2.3") == []


def test_names_the_values_that_have_no_name(store, label, grid):
    with pytest.raises(LabelError, match="got 52 without"):
        send(store, label, grid, client_names={"liver": 5})


def test_says_what_an_unknown_name_probably_means(store, label, grid):
    with pytest.raises(LabelError, match=r"'livr'.*Did you mean 'liver'"):
        send(store, label, grid, client_names={"livr": 5, "aorta": 52})
    assert store.versions("1.2.3") == []


def test_an_unknown_name_without_voxels_is_left_out(store, label, grid):
    annotation = send(store, label, grid, client_names={**NAMES, "Segment_1": 7, "spleen": 8})
    assert annotation.names == {**NAMES, "spleen": 8}


def test_a_background_entry_is_no_label(store, label, grid):
    assert send(store, label, grid, client_names={"background": 0, **NAMES}).names == NAMES


def test_two_names_for_one_value_are_refused(store, label, grid):
    with pytest.raises(LabelError, match="more than once"):
        send(store, label, grid, client_names={**NAMES, "spleen": 5})


def test_without_names_the_label_indices_of_the_task_count(store, label, grid):
    array = np.where(label.array == 5, 2, np.where(label.array == 52, 1, 0)).astype(np.int16)
    annotation = send(store, Volume(array, grid), grid, client_names=None, spec=SPEC)
    assert annotation.names == {"aorta": 1, "liver": 2, "spleen": 3}
    assert annotation.task == "abdomen_test"


def test_without_names_and_task_a_labelled_voxel_is_refused(store, label, grid):
    with pytest.raises(LabelError, match="label_info"):
        send(store, label, grid, client_names=None)


def test_an_empty_label_is_stored(store, label, grid):
    annotation = send(store, Volume(np.zeros(grid.shape, np.float64), grid), grid)
    assert not store.read(annotation)[0].array.any()


@pytest.mark.parametrize("wrong", [-1.0, 0.5, 70_000.0, np.nan, np.inf])
def test_refuses_voxels_that_are_no_label_values(store, label, grid, wrong):
    array = label.array.astype(np.float64)
    array[0, 0, 0] = wrong
    with pytest.raises(LabelError):
        send(store, Volume(array, grid), grid)
    assert store.versions("1.2.3") == []


def test_whole_numbers_of_any_type_are_taken(store, label, grid):
    for dtype in (np.float32, np.int16, np.int64, np.uint16):
        stored, _ = store.read(send(store, Volume(label.array.astype(dtype), grid), grid))
        assert stored.array.dtype == np.uint8
        np.testing.assert_array_equal(stored.array, label.array)


def test_values_above_255_are_kept(store, label, grid):
    array = np.where(label.array == 52, 3000, label.array).astype(np.int32)
    stored, _ = store.read(send(store, Volume(array, grid), grid, client_names={"liver": 5, "aorta": 3000}))
    assert stored.array.dtype == np.uint16
    np.testing.assert_array_equal(stored.array, array)


def test_a_hostile_tag_is_refused_first(store, label, grid):
    with pytest.raises(UnsafeIdError):
        send(store, label, grid, tag="../../etc")


def test_comes_back_in_the_indices_of_a_task_by_name(store, label, grid):
    annotation = send(store, label, grid)
    volume = for_task(store, annotation, SPEC)
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array == 2, label.array == NAMES["liver"])
    np.testing.assert_array_equal(volume.array == 1, label.array == NAMES["aorta"])


def test_labels_of_no_interest_to_a_task_become_background(store, label, grid):
    thorax = find_tasks().get("thorax_ct")
    assert not for_task(store, send(store, label, grid), thorax).array.any()


def _as_sitk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    affine = volume.grid.affine_lps
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(affine[:3, 3])
    image.SetDirection((affine[:3, :3] / np.array(volume.grid.spacing_mm)).ravel())
    return image


def test_findings_are_kept_without_voxels_in_either_database(database_url, tmp_path):
    database = Database(database_url)
    database.create_tables()
    store = AnnotationStore(database, files=LabelFiles(tmp_path / "files"), patients=PatientKeys(b"k" * 32))
    try:
        spec = find_tasks().get("cxr_covid19")
        annotation = submit_findings(
            store, image_id="1.2.3", findings={"covid19": 1}, spec=spec, patient_id="p", deliver=False
        )
        (found,) = store.versions("1.2.3")
        assert found.id == annotation.id
        assert (found.findings, found.names, found.task) == ({"covid19": True}, {}, "cxr_covid19")
        with pytest.raises(UnknownLabelError):
            store.deliveries.get(annotation.id)
    finally:
        store.close()


def test_findings_nobody_could_tell_are_kept_apart_and_what_the_model_said_is_kept_with_them(store):
    spec = find_tasks().get("cxr_findings")
    said = [{"idx": 4, "label": "edema", "score": 0.7, "state": "uncertain"}]
    answers = {"edema": True, "mass": False, "nodule": None}
    annotation = submit_findings(store, image_id="1.2.3", findings=answers, spec=spec, said=said)
    found = store.get(annotation.id)
    assert (found.findings, found.unsure) == ({"edema": True, "mass": False}, ("nodule",))
    assert store.label_info(annotation.id) == {PREDICTION: said}
    assert store.deliveries.get(annotation.id).document == "SR"


def test_an_answer_of_nothing_but_unsure_is_kept_and_delivered_and_one_of_nothing_is_refused(store):
    spec = find_tasks().get("cxr_findings")
    annotation = submit_findings(store, image_id="1.2.3", findings={"edema": None}, spec=spec)
    assert (annotation.findings, annotation.unsure) == ({}, ("edema",))
    assert store.deliveries.get(annotation.id).document == "SR"
    with pytest.raises(LabelError, match="At least one finding"):
        submit_findings(store, image_id="1.2.3", findings={}, spec=spec)
    assert len(store.versions("1.2.3")) == 1


def test_labels_that_overlap_are_kept_and_come_back_whole(store, grid):
    anatomy = find_tasks().get("cxr_anatomy")
    array = np.random.default_rng(0).integers(0, 16, grid.shape, dtype=np.uint8)
    annotation = send(store, Volume(array, grid), grid, client_names=anatomy.labels.values, spec=anatomy)
    np.testing.assert_array_equal(store.read(annotation)[0].array, array)
    np.testing.assert_array_equal(for_task(store, annotation, anatomy).array, array)
    again = send(store, Volume(array, grid), grid, client_names=anatomy.labels.values, spec=anatomy)
    assert again.voxels_changed == 0


def test_a_sum_is_no_label_where_labels_exclude_each_other(store, grid):
    array = np.full(grid.shape, 3, dtype=np.uint8)
    with pytest.raises(LabelError, match="got 3 without one"):
        send(store, Volume(array, grid), grid, client_names={"aorta": 1, "liver": 2}, spec=SPEC)
