"""Zip archives, honest and hostile."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from carina.datastores.archive import ArchiveLimits, unpack_zip
from carina.errors import ArchiveError

MIB = 1 << 20


def _zip(path: Path, entries: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def _assert_refused(archive: Path, folder: Path, *, match: str, limits: ArchiveLimits | None = None) -> None:
    with pytest.raises(ArchiveError, match=match):
        unpack_zip(archive, folder, limits=limits)
    assert not folder.exists()


def test_unpacks_every_file_under_a_harmless_name(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"DOE^JOHN 1970/CT 1/a.dcm": b"1", "b/a.dcm": b"2", "c.nii.gz": b"3", "d": b"4"})
    files = unpack_zip(archive, tmp_path / "out")
    assert [file.read_bytes() for file in files] == [b"1", b"2", b"3", b"4"]
    assert [file.name for file in files] == ["000000.dcm", "000001.dcm", "000002.nii.gz", "000003"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:/evil", "C:\\evil"])
def test_refuses_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", {"ok": b"1", name: b"2"})
    _assert_refused(archive, tmp_path / "out", match="stay inside")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_refuses_links_and_devices(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    _assert_refused(tmp_path / "a.zip", tmp_path / "out", match="plain files")


def test_refuses_a_file_that_unpacks_to_far_more_than_its_size(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"zeros": bytes(8 * MIB)}, compression=zipfile.ZIP_BZIP2)
    _assert_refused(archive, tmp_path / "out", match="1100 times")


def test_a_blank_slice_is_no_bomb(tmp_path: Path) -> None:
    (file,) = unpack_zip(_zip(tmp_path / "a.zip", {"blank.dcm": bytes(2 * MIB)}), tmp_path / "out")
    assert file.stat().st_size == 2 * MIB


@pytest.mark.parametrize("name", ["", ".", "./."])
def test_refuses_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"1")
    _assert_refused(tmp_path / "a.zip", tmp_path / "out", match="stay inside")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_refuses_damaged_data_however_they_are_packed(tmp_path: Path, compression: int) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": os.urandom(5000)}, compression=compression)
    content = bytearray(archive.read_bytes())
    content[40:3000] = bytes(2960)
    archive.write_bytes(content)
    _assert_refused(archive, tmp_path / "out", match="intact")


def test_refuses_a_directory_that_points_before_the_archive(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": b"1"})
    content = bytearray(archive.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 16 : end + 20] = (100_000).to_bytes(4, "little")
    archive.write_bytes(content)
    _assert_refused(archive, tmp_path / "out", match="intact")


def test_refuses_more_bytes_than_the_limit(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {str(number): os.urandom(MIB) for number in range(4)})
    _assert_refused(archive, tmp_path / "out", match="3 MiB", limits=ArchiveLimits(total_bytes=3 * MIB))


def test_refuses_more_files_than_the_limit(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {str(number): b"" for number in range(11)})
    _assert_refused(archive, tmp_path / "out", match="at most 10 files", limits=ArchiveLimits(files=10))


def test_counts_bytes_itself_where_the_directory_lies_about_sizes(tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", content)
    raw = bytearray(buffer.getvalue())
    directory = raw.rindex(b"PK\x01\x02")
    raw[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(raw)
    _assert_refused(tmp_path / "a.zip", tmp_path / "out", match="intact", limits=ArchiveLimits(total_bytes=4 * MIB))


@pytest.mark.parametrize("damage", ["text", "cut", "flipped"])
def test_refuses_a_damaged_archive_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": b"1" * 1000, "b": os.urandom(5000)})
    raw = bytearray(archive.read_bytes())
    if damage == "text":
        raw = bytearray(b"not a zip")
    elif damage == "cut":
        raw = raw[: len(raw) // 2]
    else:
        raw[len(raw) // 2] ^= 0xFF
    archive.write_bytes(raw)
    _assert_refused(archive, tmp_path / "out", match="intact")


def test_leaves_an_existing_folder_empty_after_a_refusal(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": b"1", "../b": b"2"})
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ArchiveError):
        unpack_zip(archive, folder)
    assert list(folder.iterdir()) == []
