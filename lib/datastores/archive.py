"""Unpacks zip archives that may be hostile: nothing leaves the folder, nothing grows past the limits."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import ArchiveError, StorageError, is_full

_CHUNK_BYTES = 1 << 20
_MIB = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)
"""What `zipfile` raises for an archive that is damaged, encrypted or packed in an unknown way."""
_NOT_THE_DISK = (None, errno.EINVAL)
"""Numbers of an `OSError` for damaged bzip2 data, and for a directory that points to before the archive's start."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """What an archive may unpack to.

    Attributes:
        total_bytes: Sum of all unpacked files.
        ratio: Unpacked size over packed size of one file; files below 1 MiB unpacked are exempt. Deflate itself cannot
            exceed about 1030, which a blank slice comes near to.
        files: How many files.
    """

    total_bytes: int = 8192 * _MIB
    ratio: float = 1100.0
    files: int = 20_000


def unpack_zip(archive: Path | IO[bytes], folder: Path, *, limits: ArchiveLimits | None = None) -> list[Path]:
    """Unpack a zip archive; on any error nothing of it is left.

    Names inside the archive are not kept: they may hold patient names, clash, or point elsewhere. Files are numbered
    in the archive's order and keep a harmless suffix. Sizes are counted while unpacking, so a false size in the
    archive's directory does not help an attacker.

    Args:
        archive: A zip file.
        folder: An empty or missing folder that receives the files.
        limits: Defaults to `ArchiveLimits()`.

    Returns:
        The unpacked files, in the archive's order.

    Raises:
        ArchiveError: If the archive is damaged, encrypted, over a limit, or holds links or names that leave the folder.
        StorageError: If the disk is full or not writable.
    """
    limits = limits or ArchiveLimits()
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as opened:
            return _unpack(opened, folder, limits=limits)
    except BaseException as error:
        _empty(folder, remove=not existed)
        damaged = isinstance(error, OSError) and error.errno in _NOT_THE_DISK
        if damaged or isinstance(error, _DAMAGE):
            raise ArchiveError("An upload must be an intact, unencrypted zip archive. Pack it again.") from error
        if isinstance(error, OSError):
            reason = "the disk is full" if is_full(error) else "the folder is not writable"
            raise StorageError(f"An archive must be unpacked whole, but {reason}. Free space and try again.") from error
        raise


def _unpack(opened: zipfile.ZipFile, folder: Path, *, limits: ArchiveLimits) -> list[Path]:
    entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
    if len(entries) > limits.files:
        raise ArchiveError(f"An archive must hold at most {limits.files:,} files, got {len(entries):,}. Split it.")
    for entry in entries:
        _check_entry(entry, limits=limits)
    declared = sum(entry.file_size for entry in entries)
    if declared > limits.total_bytes:
        raise ArchiveError(_too_large(limits))
    left = limits.total_bytes
    unpacked = []
    for number, entry in enumerate(entries):
        target = folder / f"{number:06d}{_harmless_suffix(entry.filename)}"
        left -= _copy(opened, entry, target, left=left, limits=limits)
        unpacked.append(target)
    return unpacked


def _check_entry(entry: zipfile.ZipInfo, *, limits: ArchiveLimits) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if not name.parts or name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or "\0" in entry.filename:
        raise ArchiveError("Names in an archive must stay inside it, got one that leaves it or is none. Pack it again.")
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError("An archive must hold plain files only, got a link or a device. Pack the files themselves.")
    if entry.file_size > _MIB and entry.file_size > limits.ratio * max(entry.compress_size, 1):
        raise ArchiveError(f"A file in an archive must not unpack to more than {limits.ratio:g} times its size.")


def _copy(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, *, left: int, limits: ArchiveLimits) -> int:
    written = 0
    with opened.open(entry) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > left:
                raise ArchiveError(_too_large(limits))
            sink.write(chunk)
    return written


def _too_large(limits: ArchiveLimits) -> str:
    most = f"{limits.total_bytes / _MIB:,.0f} MiB"
    return f"An archive must unpack to at most {most}, got more. Split it, or raise CARINA_UNPACKED_LIMIT_MIB."


def _harmless_suffix(name: str) -> str:
    """`.dcm`, `.nii.gz` and the like; nothing where the name ends in anything else than short words."""
    suffixes = PurePosixPath(name.replace("\\", "/")).suffixes[-2:]
    kept = [suffix.lower() for suffix in suffixes if suffix[1:].isascii() and suffix[1:].isalpha() and len(suffix) <= 6]
    return "".join(kept) if len(kept) == len(suffixes) else "".join(kept[-1:])


def _empty(folder: Path, *, remove: bool) -> None:
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    if remove:
        folder.rmdir()
