"""Images in a plain folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from carina.datastores.port import ImageStore, open_store, read_image
from carina.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    SeriesError,
    UnknownImageError,
    UnsafeIdError,
)
from carina.settings import Settings

from .builder import build_other_object, build_series, write_series

Open = Callable[[], ImageStore]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    return made


@pytest.fixture
def open_folder(folder: Path, tmp_path: Path) -> Open:
    return lambda: open_store(folder, settings=Settings(home=tmp_path / "home"))


def _nifti(path: Path, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), value, np.int16), np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def _ids(store: ImageStore) -> list[str]:
    return [record.image_id for record in store.list_images()]


def test_lists_files_by_relative_name_and_dicom_folders_by_theirs(folder: Path, open_folder: Open) -> None:
    _nifti(folder / "a.nii.gz")
    _nifti(folder / "site 1" / "b.nii")
    Image.new("L", (4, 3)).save(folder / "xray.png")
    write_series(build_series(), folder / "studies" / "ct-1")
    store = open_folder()
    assert _ids(store) == ["a", "site_1_b", "studies_ct-1", "xray"]
    assert store.record("studies_ct-1").modality == "CT"
    assert store.record("a").modality == ""


def test_does_not_list_labels_hidden_files_or_finished_segmentations(folder: Path, open_folder: Open) -> None:
    _nifti(folder / "image.nii.gz")
    _nifti(folder / "labels.nii.gz")
    _nifti(folder / "labels" / "image.nii.gz")
    _nifti(folder / "masks" / "image" / "liver.nii.gz")
    _nifti(folder / ".hidden.nii.gz")
    (folder / "labels.json").write_text(json.dumps({"liver": 1}))
    (folder / "image.seg.nrrd").write_bytes(b"1")
    (folder / "report").write_text("not DICOM")
    write_series([build_other_object(build_series(slices=1)[0])], folder / "seg")
    assert _ids(open_folder()) == ["image"]


def test_lists_a_folder_that_is_itself_one_dicom_series(folder: Path, open_folder: Open) -> None:
    datasets = build_series()
    write_series(datasets, folder)
    store = open_folder()
    assert _ids(store) == ["images"]
    volume, series = read_image(store, "images")
    assert volume.grid.shape == (10, 12, 5)
    assert series is not None
    assert series.series_instance_uid == datasets[0].SeriesInstanceUID


def test_names_both_files_that_would_have_one_id(folder: Path, open_folder: Open) -> None:
    _nifti(folder / "a b.nii.gz")
    _nifti(folder / "a_b.nii.gz")
    with pytest.raises(InvalidInputError, match=r"a b\.nii\.gz and a_b\.nii\.gz both give 'a_b'"):
        open_folder().list_images()


def test_shows_new_and_removed_files_without_a_restart(folder: Path, open_folder: Open) -> None:
    store = open_folder()
    assert _ids(store) == []
    path = _nifti(folder / "a.nii.gz")
    assert _ids(store) == ["a"]
    path.unlink()
    assert _ids(store) == []


def test_takes_patients_from_cases_csv_and_reads_it_again_when_it_changes(folder: Path, open_folder: Open) -> None:
    for name in ("a", "b", "c d"):
        _nifti(folder / f"{name}.nii.gz")
    write_series(build_series(patient_id="P-9"), folder / "ct")
    store = open_folder()
    cases = folder / "cases.csv"
    cases.write_text("image,patient,sex\na,p1,M\nb.nii.gz,p1,F\nc d,p2,F\n")
    assert {record.image_id: record.patient_id for record in store.list_images()} == {
        "a": "p1",
        "b": "p1",
        "c_d": "p2",
        "ct": "P-9",
    }
    cases.write_text("image,patient\na,p7\n")
    assert store.record("a").patient_id == "p7"
    assert store.record("b").patient_id == "b"


def test_says_which_columns_cases_csv_must_have(folder: Path, open_folder: Open) -> None:
    (folder / "cases.csv").write_text("file,who\na,p\n")
    with pytest.raises(InvalidInputError, match="columns image and patient"):
        open_folder().list_images()


def test_reads_files_of_every_sort(folder: Path, open_folder: Open) -> None:
    _nifti(folder / "a.nii.gz", value=7)
    Image.new("L", (4, 3), 9).save(folder / "x.png")
    store = open_folder()
    volume, series = read_image(store, "a")
    assert series is None
    assert volume.grid.shape == (3, 4, 5)
    assert int(volume.array.min()) == 7
    assert read_image(store, "x")[0].grid.shape == (4, 3, 1)


def test_copies_a_file_in_under_a_wanted_id(folder: Path, open_folder: Open, tmp_path: Path) -> None:
    store = open_folder()
    assert store.add_image(_nifti(tmp_path / "My Image.nii.gz")) == "My_Image"
    assert store.add_image(_nifti(tmp_path / "other.nii.gz"), "case-2") == "case-2"
    assert _ids(store) == ["My_Image", "case-2"]
    with pytest.raises(ConflictError, match="must not be there yet"):
        store.add_image(tmp_path / "other.nii.gz", "case-2")


def test_keeps_nothing_that_cannot_be_read_or_has_an_unsafe_id(folder: Path, open_folder: Open, tmp_path: Path) -> None:
    store = open_folder()
    damaged = tmp_path / "a.nii.gz"
    damaged.write_bytes(b"damaged")
    with pytest.raises(InvalidInputError, match="readable"):
        store.add_image(damaged)
    with pytest.raises(UnsafeIdError):
        store.add_image(_nifti(tmp_path / "b.nii.gz"), "../b")
    with pytest.raises(UnsafeIdError):
        store.add_image(write_series(build_series(slices=1), tmp_path / "ct"), "../ct")
    with pytest.raises(InvalidInputError, match="called as a label"):
        store.add_image(_nifti(tmp_path / "labels.nii.gz"))
    for wanted in ("Label", "LABELS"):
        with pytest.raises(InvalidInputError, match="called as a label"):
            store.add_image(tmp_path / "b.nii.gz", wanted)
    for wanted in ("masks", "labels", "segmentations"):
        with pytest.raises(InvalidInputError, match="called as a label"):
            store.add_image(tmp_path / "ct", wanted)
    assert list(folder.iterdir()) == []


def test_a_name_without_a_latin_letter_keeps_nobody_from_the_other_images(folder: Path, open_folder: Open) -> None:
    for name in ("ok", "胸部", "腹部", "a" * 140):
        _nifti(folder / f"{name}.nii.gz")
    store = open_folder()
    assert len(_ids(store)) == 4
    assert {store.fetch(image_id).name for image_id in _ids(store)} == {path.name for path in folder.iterdir()}


def test_of_several_images_that_come_at_once_under_one_id_the_first_stays(open_folder: Open, tmp_path: Path) -> None:
    store = open_folder()
    begin = threading.Barrier(6)

    def add(value: int) -> int | None:
        path = _nifti(tmp_path / f"{value}.nii.gz", value=value)
        begin.wait()
        try:
            store.add_image(path, "case")
        except ConflictError:
            return None
        return value

    with ThreadPoolExecutor(6) as threads:
        taken = [value for value in threads.map(add, range(6)) if value is not None]
    assert taken == [int(read_image(store, "case")[0].array.min())]


def test_refuses_a_folder_with_two_series_when_it_is_fetched(folder: Path, open_folder: Open) -> None:
    write_series([*build_series(slices=2), *build_series(slices=2)], folder / "mixed")
    with pytest.raises(SeriesError, match="one DICOM series, got 2"):
        open_folder().fetch("mixed")


def test_removes_a_series_but_not_what_lies_beside_it(folder: Path, open_folder: Open) -> None:
    write_series(build_series(slices=2), folder)
    _nifti(folder / "a.nii.gz")
    store = open_folder()
    store.remove_image("images")
    assert sorted(path.name for path in folder.iterdir()) == ["a.nii.gz"]
    store.remove_image("a")
    assert folder.is_dir()
    with pytest.raises(UnknownImageError):
        store.remove_image("a")


def test_writes_segmentations_into_their_own_folder(folder: Path, open_folder: Open) -> None:
    stored = build_other_object(build_series(slices=1)[0])
    open_folder().store_instance(stored)
    assert [path.name for path in (folder / "segmentations").iterdir()] == [f"{stored.SOPInstanceUID}.dcm"]


def test_does_not_open_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must exist"):
        open_store(tmp_path / "absent", settings=Settings(home=tmp_path))
