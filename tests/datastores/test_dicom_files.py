"""DICOM files from outside, sorted into series."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from carina.datastores.dicom_files import group_series, image_series, one_image_series, opened
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
    write_series(build_series(slices=3), tmp_path / "other")
    repeated, other = sorted(group_series(tmp_path), key=lambda series: len(series.files))
    with pytest.raises(SeriesError, match=r"each instance once, got 1 file\(s\) of 3"), repeated.alone():
        pass
    with other.alone() as folder:
        assert len(list(folder.iterdir())) == 3
        assert one_image_series(folder).series_instance_uid == other.series_instance_uid


def test_says_that_there_is_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(DicomError, match="none was found"):
        group_series(tmp_path)
    with pytest.raises(DicomError, match=r"a\.dcm must be DICOM, as a PACS takes nothing else"):
        group_series(tmp_path / "a.dcm")


def test_a_slice_cut_short_in_its_header_is_told_apart_from_two_series(tmp_path: Path) -> None:
    datasets = build_series(slices=3)
    write_series(datasets, tmp_path)
    file = sorted(tmp_path.glob("*"))[1]
    content = file.read_bytes()
    uid = str(datasets[0].SeriesInstanceUID).encode()
    file.write_bytes(content[: content.rindex(uid) + len(uid) - 4])
    with pytest.raises(InvalidInputError, match=r"2 series, with 2 and 1 file\(s\).*cut short"):
        one_image_series(tmp_path)


def test_a_zip_is_sorted_into_its_image_series_and_leaves_nothing_behind(tmp_path: Path) -> None:
    first, second = build_series(slices=2), build_series(slices=3)
    source = write_series([*first, *second, build_other_object(first[0])], tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for number, path in enumerate(sorted(source.iterdir())):
            archive.write(path, f"DOE^JANE/{number}")
    settings = Settings(home=tmp_path / "home")
    with opened(tmp_path / "study.zip", settings) as folder:
        sizes = {series.series_instance_uid: len(series.files) for series in image_series(folder)}
    assert sizes == {first[0].SeriesInstanceUID: 2, second[0].SeriesInstanceUID: 3}
    assert list(settings.cache_dir.iterdir()) == []


def test_imports_nothing_of_a_zip_over_the_limit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive:
        archive.writestr("zeros", b"\1" * (3 << 20))
    images = tmp_path / "images"
    images.mkdir()
    settings = Settings(home=tmp_path / "home", unpacked_limit_mib=2)
    with pytest.raises(ArchiveError, match="2 MiB"):
        open_store(images, settings=settings).add_image(tmp_path / "bomb.zip")
    assert list(images.iterdir()) == []
    assert list(settings.cache_dir.iterdir()) == []
