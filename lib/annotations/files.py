"""Label files on disk: complete, flushed and hashed, or not there at all."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import nibabel as nib
import numpy as np

from ..errors import StorageError
from ..geometry import Grid, Volume
from ..models.files import sha256_of, sync

SUFFIX = ".nii.gz"
_PART_SUFFIX = ".part"
_SET_ASIDE = "orphans"
_COMPRESSION_LEVEL = 4  # label maps shrink 100-fold at any level; higher ones only take longer


class FileSystem(Protocol):
    """The part of the operating system that a disk fault would show in."""

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file for writing."""
        ...

    def flush(self, stream: IO[bytes]) -> None:
        """Bring a file's content to the disk."""
        ...

    def publish(self, part: Path, final: Path) -> None:
        """Rename, and bring the folder's entry to the disk."""
        ...


class LocalFileSystem:
    """The real one."""

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file for writing; it must not exist."""
        return path.open("xb")

    def flush(self, stream: IO[bytes]) -> None:
        """Bring a file's content to the disk."""
        stream.flush()
        os.fsync(stream.fileno())

    def publish(self, part: Path, final: Path) -> None:
        """Rename, and bring the folder's entry to the disk."""
        part.rename(final)
        sync(final.parent)


class LabelFiles:
    """Compressed NIfTI files `<folder>/<image>/<annotation>.nii.gz`, each written once.

    Any number of threads and processes may write and read; no two use one annotation id.

    Args:
        folder: `Settings.annotations_dir`.
        file_system: Where bytes go; another one in tests of full disks.
    """

    def __init__(self, folder: Path, *, file_system: FileSystem | None = None) -> None:
        self.folder = folder
        self._system = file_system or LocalFileSystem()

    def write(self, image_id: str, annotation_id: str, label: Volume) -> tuple[str, str]:
        """Store a label map.

        Args:
            image_id: A checked id; names the subfolder.
            annotation_id: Names the file.
            label: `(X, Y, Z)` uint8 or uint16.

        Returns:
            File name relative to the folder, and SHA-256 of the file.

        Raises:
            StorageError: If the disk is full or not writable; nothing is left behind.
        """
        final = self.folder / image_id / f"{annotation_id}{SUFFIX}"
        part = final.with_name(f".{final.name}{_PART_SUFFIX}")
        try:
            self._make_folder(final.parent)
            try:
                with self._system.create(part) as stream:
                    digest = _write_nifti(stream, label)
                    self._system.flush(stream)
                self._system.publish(part, final)
            except BaseException:
                # Nobody has been told about this file yet.
                part.unlink(missing_ok=True)
                final.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(
                f"The annotation folder must have room and be writable, got '{error.strerror or error}'. "
                f"Nothing was stored: free some disk space and submit again."
            ) from error
        return final.relative_to(self.folder).as_posix(), digest

    def path(self, file_name: str) -> Path:
        """Where a stored file lies.

        Raises:
            StorageError: If it is gone.
        """
        path = self.folder / file_name
        if not path.is_file():
            raise StorageError(f"Label file '{file_name}' must exist, got nothing there. Restore it from the backup.")
        return path

    def read(self, file_name: str, *, sha256: str, grid: Grid) -> Volume:
        """Load a label map and check that it is the one that was stored.

        Args:
            file_name: As `write` returned it.
            sha256: As `write` returned it.
            grid: The exact grid; NIfTI's header keeps single precision only.

        Returns:
            `(X, Y, Z)`, dtype as written.

        Raises:
            StorageError: If the file is gone or not the one that was stored.
        """
        path = self.path(file_name)
        try:
            intact = sha256_of(path) == sha256
        except OSError as error:
            raise StorageError(f"Label file '{file_name}' must be readable, got '{error.strerror}'.") from error
        if not intact:
            raise StorageError(
                f"Label file '{file_name}' must be as it was stored, got another SHA-256. Restore it from the backup."
            )
        return Volume(np.asarray(nib.load(path).dataobj), grid)

    def discard(self, file_name: str) -> None:
        """Delete a file whose row was certainly not committed."""
        (self.folder / file_name).unlink(missing_ok=True)

    def unfinished(self, *, older_than_s: float) -> Iterator[Path]:
        """Files that a crash left half written."""
        yield from self._older(f".*{SUFFIX}{_PART_SUFFIX}", older_than_s)

    def complete(self, *, older_than_s: float) -> Iterator[Path]:
        """Complete label files, except those set aside."""
        yield from self._older(f"[!.]*{SUFFIX}", older_than_s)

    def set_aside(self, path: Path) -> Path:
        """Move a file that no row names out of the way, keeping it.

        Returns:
            Where it is now.
        """
        target = self.folder / f".{_SET_ASIDE}" / path.relative_to(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        return target

    def _make_folder(self, folder: Path) -> None:
        root_is_new = not self.folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)  # also when another thread made it: its entry may not be on the disk yet
        if root_is_new:
            sync(self.folder.parent)

    def _older(self, pattern: str, older_than_s: float) -> Iterator[Path]:
        newest = time.time() - older_than_s
        for path in sorted(self.folder.glob(f"[!.]*/{pattern}")):
            if path.stat().st_mtime <= newest:
                yield path


class _Hashing:
    """A writable stream that hashes what passes through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _write_nifti(stream: IO[bytes], label: Volume) -> str:
    image = nib.Nifti1Image(label.array, label.grid.affine_ras)
    image.header.set_xyzt_units("mm")
    hashing = _Hashing(stream)
    with _deterministic_gzip(hashing) as packed:
        image.to_stream(packed)
    return hashing.hexdigest()


@contextmanager
def _deterministic_gzip(target: _Hashing) -> Iterator[gzip.GzipFile]:
    # No name and no time in the header: the same label always gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION_LEVEL, fileobj=target, mtime=0) as packed:
        yield packed
