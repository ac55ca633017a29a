from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from carina.datastores.port import open_store, read_image
from carina.errors import SeriesError
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.settings import Settings


@pytest.fixture
def folder_store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def test_every_series_below_a_folder_is_imported(carina, phantoms, folder_store):
    ran = carina("import", phantoms / "images", "--store", folder_store, "--json")

    store = open_store(folder_store, settings=Settings())
    assert ran.exit_code == 0
    assert len(ran.json["images"]) == 3
    assert {record.image_id for record in store.list_images()} == set(ran.json["images"])
    store.close()


def test_one_series_as_folder_or_zip_is_one_image(carina, phantoms, folder_store, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", phantoms / "images" / "phantom-007")

    first = carina("import", phantoms / "images" / "phantom-008", "--store", folder_store, "--json")
    second = carina("import", archive, "--store", folder_store, "--json")

    store = open_store(folder_store, settings=Settings())
    volume, series = read_image(store, second.json["images"][0])
    assert len(first.json["images"]) == len(second.json["images"]) == 1
    assert volume.grid.shape == (32, 30, 24)
    assert series is not None
    store.close()


def test_a_flat_folder_of_several_series_is_sorted_and_pictures_beside_them_are_taken_too(
    carina, phantoms, folder_store, tmp_path
):
    flat = tmp_path / "export"
    flat.mkdir()
    for case in ("phantom-007", "phantom-008"):
        for file in (phantoms / "images" / case).iterdir():
            shutil.copy(file, flat / f"{case}-{file.name}")
    write_image(flat / "knee.nii.gz", Volume(np.zeros((4, 4, 4), np.int16), Grid((4, 4, 4), np.eye(4))))

    ran = carina("import", flat, "--store", folder_store, "--json")

    assert ran.exit_code == 0
    assert len(ran.json["images"]) == 3
    assert ran.json["warnings"] == ran.json["refused"] == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda files: [files[3].unlink(), files[8].unlink(), files[9].unlink()], "21 slices with 3 missing"),
        (lambda files: again(files[2], files[-1].with_name("again.dcm")), "1 duplicate positions among 25 slices"),
        (lambda files: move(files[-1], mm=2), "evenly spaced"),
    ],
    ids=["gaps", "duplicates", "mixed spacing"],
)
def test_a_series_that_cannot_be_read_yet_is_imported_with_a_warning(carina, phantoms, folder_store, spoil, said):
    spoil(in_order(phantoms / "images" / "phantom-007"))

    ran = carina("import", phantoms / "images", "--store", folder_store, "--json")

    store = open_store(folder_store, settings=Settings())
    (warning,) = ran.json["warnings"]
    assert ran.exit_code == 0
    assert len(ran.json["images"]) == 3
    assert said in warning["detail"]
    assert "cannot be drafted on" in ran.stderr
    with pytest.raises(SeriesError) as refused:
        read_image(store, warning["image"])
    assert warning["detail"] == str(refused.value)
    store.close()


def test_what_is_refused_is_named_and_the_rest_goes_on(carina, phantoms, folder_store):
    broken = phantoms / "images" / "broken.nii.gz"
    broken.write_bytes(b"no image")
    twice = in_order(phantoms / "images" / "phantom-007")
    shutil.copy(twice[0], twice[0].with_name("copy.dcm"))

    ran = carina("import", phantoms / "images", "--store", folder_store, "--json")
    again = carina("import", phantoms / "images", "--store", folder_store, "--json")

    assert ran.exit_code == 0
    assert len(ran.json["images"]) == 2
    assert {one["source"] for one in ran.json["refused"]} == {"broken.nii.gz", dcmread(twice[0]).SeriesInstanceUID}
    assert "each instance once" in ran.json["refused"][1]["detail"]
    assert again.exit_code == 1
    assert "Nothing was imported" in again.json["detail"]
    assert "3 more" in again.json["detail"]


def test_damaged_files_are_named_as_no_series_has_them(carina, phantoms, folder_store, tmp_path):
    last = in_order(phantoms / "images" / "phantom-007")[-1]
    last.write_bytes(last.read_bytes()[:300])
    (phantoms / "images" / "README.txt").write_text("of the hospital's archive")
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", phantoms / "images")

    ran = carina("import", phantoms / "images", "--store", folder_store, "--json")
    (tmp_path / "other").mkdir()
    zipped = carina("import", archive, "--store", tmp_path / "other", "--json")

    assert ran.exit_code == zipped.exit_code == 0
    assert len(ran.json["images"]) == len(zipped.json["images"]) == 3
    assert ran.json["warnings"] == []  # what is left of the series is even: nothing else would tell
    assert [one["source"] for one in ran.json["refused"]] == [last.name]
    assert "must be whole" in zipped.json["refused"][0]["detail"]
    assert f"Not imported: {last.name}" in ran.stderr


def in_order(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda file: dcmread(file).ImagePositionPatient[2])


def again(file: Path, target: Path) -> None:
    dataset = dcmread(file)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.save_as(target)


def move(file: Path, *, mm: float) -> None:
    dataset = dcmread(file)
    row, column = np.reshape(dataset.ImageOrientationPatient, (2, 3)).astype(float)
    place = np.array(dataset.ImagePositionPatient, float) + mm * np.cross(row, column)
    dataset.ImagePositionPatient = [f"{value:.6g}" for value in place]
    dataset.save_as(file)


def test_says_what_is_missing(carina, tmp_path, folder_store):
    (tmp_path / "empty").mkdir()

    nothing = carina("import", tmp_path / "nowhere", "--store", folder_store, "--json")
    empty = carina("import", tmp_path / "empty", "--store", folder_store, "--json")

    assert "not there" in nothing.json["detail"]
    assert "must hold images" in empty.json["detail"]
    assert nothing.exit_code == empty.exit_code == 1


def test_server_and_store_exclude_each_other(carina, phantoms, folder_store):
    ran = carina("import", phantoms, "--store", folder_store, "--server", "http://127.0.0.1:9", "--json")

    assert ran.exit_code == 1
    assert "must not be given together" in ran.json["detail"]


def test_a_server_without_http_is_said_to_be_written_wrong(carina, phantoms):
    ran = carina("import", phantoms / "images" / "phantom-007", "--server", "127.0.0.1:8000", "--json")

    assert ran.exit_code == 1
    assert "http://127.0.0.1:8000, got '127.0.0.1:8000'" in ran.json["detail"]


def test_a_server_that_does_not_run_is_said_in_words(carina, phantoms):
    ran = carina("import", phantoms / "images" / "phantom-007", "--server", "http://127.0.0.1:9", "--json")

    assert ran.exit_code == 1
    assert "carina up" in ran.json["detail"]
