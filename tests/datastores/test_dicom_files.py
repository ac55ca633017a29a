"""DICOM files from outside, sorted into series."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from carina.datastores.dicom_files import group_series, import_images, one_image_series
from carina.datastores.port import open_store
from carina.errors import ArchiveError, DicomError, InvalidInputError, SeriesError
from carina.settings import Settings

from .builder import build_other_object, build_series, write_series


def test_sorts_a_folder_into_series_and_passes_over_other_files(tmp_path: Path) -> None:
    first, second = build_series(slices=3), build_series(slices=2)
    write_series(first, tmp_path / "x")
    write_series(second, tmp_path / "x" / "y")
    (tmp_path / "x" / "LICENSE").write_text("text")
    sizes = {series.series_instance_uid: len(series.files) for series in group_series(tmp_path)}
    assert sizes == {first[0].SeriesInstanceUID: 3, second[0].SeriesInstanceUID: 2}


def test_refuses_two_files_of_one_instance(tmp_path: Path) -> None:
    datasets = build_series(slices=2)
    write_series([*datasets, datasets[0]], tmp_path)
    with pytest.raises(SeriesError, match="each instance once"):
        group_series(tmp_path)


def test_says_that_there_is_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(DicomError, match="none was found"):
        group_series(tmp_path)


def test_a_slice_cut_short_in_its_header_is_told_apart_from_two_series(tmp_path: Path) -> None:
    datasets = build_series(slices=3)
    write_series(datasets, tmp_path)
    file = sorted(tmp_path.glob("*"))[1]
    content = file.read_bytes()
    uid = str(datasets[0].SeriesInstanceUID).encode()
    file.write_bytes(content[: content.rindex(uid) + len(uid) - 4])
    with pytest.raises(InvalidInputError, match=r"2 series, with 2 and 1 file\(s\).*cut short"):
        one_image_series(tmp_path)


def test_imports_every_image_series_of_a_zip(tmp_path: Path) -> None:
    first, second = build_series(slices=2), build_series(slices=3)
    source = write_series([*first, *second, build_other_object(first[0])], tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for number, path in enumerate(sorted(source.iterdir())):
            archive.write(path, f"DOE^JANE/{number}")
    images = tmp_path / "images"
    images.mkdir()
    settings = Settings(home=tmp_path / "home")
    store = open_store(images, settings=settings)
    imported = import_images(store, tmp_path / "study.zip", settings=settings)
    assert sorted(imported) == sorted([first[0].SeriesInstanceUID, second[0].SeriesInstanceUID])
    assert {record.image_id: record.instances for record in store.list_images()} == {
        first[0].SeriesInstanceUID: 2,
        second[0].SeriesInstanceUID: 3,
    }
    assert list(settings.cache_dir.iterdir()) == []


def test_imports_nothing_of_a_zip_over_the_limit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive:
        archive.writestr("zeros", b"\1" * (3 << 20))
    images = tmp_path / "images"
    images.mkdir()
    settings = Settings(home=tmp_path / "home", unpacked_limit_mib=2)
    store = open_store(images, settings=settings)
    for add in (store.add_image, lambda path: import_images(store, path, settings=settings)):
        with pytest.raises(ArchiveError, match="2 MiB"):
            add(tmp_path / "bomb.zip")
    assert list(images.iterdir()) == []
    assert list(settings.cache_dir.iterdir()) == []
