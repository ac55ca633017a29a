"""A cache of DICOM series on disk: a cached series is complete and verified, or it is not there.

One entry is a folder `<image id>/` with the instances in `data/` and their sizes and SHA-256 in `manifest.json`. An
entry is filled in `.partial/<image id>/` and moved into place by one rename; it is removed by one rename to
`.doomed/<image id>/`. Whatever a killed process left in these two is thrown away by the next. Safe between threads and
processes; lock order: one entry's lock at a time, never two held while waiting, since eviction only tries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import PacsError, StorageError, is_full
from .ids import check_id

_GIB = 1 << 30
_MANIFEST = "manifest.json"
_DATA = "data"
_PARTIAL = ".partial"
_DOOMED = ".doomed"
_LOCKS = ".locks"


@dataclass(frozen=True)
class _Entry:
    folder: Path
    bytes_: int
    used_at: float


class SeriesCache:
    """Complete DICOM series on disk, up to a size limit.

    Args:
        folder: Where the entries lie; one per PACS, since two may hold one UID with different content.
        limit_gib: Least recently used entries go when the sum of all is larger. Entries used within `grace_s` stay
            even then, so that nobody loses a file while reading it.
        grace_s: How long a returned folder may be relied on.
    """

    def __init__(self, folder: Path, *, limit_gib: float, grace_s: float = 900.0) -> None:
        self.folder = folder
        self._limit_bytes = limit_gib * _GIB
        self._grace_s = grace_s

    def get(self, image_id: str, *, revision: str, fill: Callable[[Path], int]) -> Path:
        """The folder of one complete series, filled first if it is not there.

        Args:
            image_id: A safe id.
            revision: What the PACS has now; an entry of another revision is filled again.
            fill: Writes the instances into the given empty folder; returns how many there must be.

        Returns:
            A folder that holds exactly the instances.

        Raises:
            PacsError: If fewer or more instances arrived than there must be.
            StorageError: If the disk is full or not writable; nothing half-filled is left.
        """
        entry = self.folder / check_id(image_id)
        with _storage_errors(), self._lock(image_id):
            if not self._is_intact(entry, revision):
                self._discard(entry)
                self._fill(entry, revision, fill)
            os.utime(entry)
        self.evict()
        return entry / _DATA

    def find(self, image_id: str) -> Path | None:
        """The folder of a series as it was cached last, whole and of whichever revision; None if there is none.

        Raises:
            StorageError: If the cache is not readable.
        """
        entry = self.folder / check_id(image_id)
        with _storage_errors(), self._lock(image_id):
            manifest = _read_manifest(entry)
            if manifest is None or not self._is_intact(entry, manifest["revision"]):
                return None
            os.utime(entry)
            return entry / _DATA

    def remove(self, image_id: str) -> None:
        """Forget one series; nothing happens if it is not cached."""
        entry = self.folder / check_id(image_id)
        with _storage_errors(), self._lock(image_id):
            self._discard(entry)

    def evict(self) -> None:
        """Remove leftovers of killed processes, and least recently used entries until the limit holds."""
        with _storage_errors():
            self._sweep()
            entries = sorted(self._entries(), key=lambda entry: entry.used_at)
            total = sum(entry.bytes_ for entry in entries)
            for entry in entries:
                if total <= self._limit_bytes:
                    return
                if self._evict_one(entry):
                    total -= entry.bytes_

    @property
    def size_bytes(self) -> int:
        """Sum of all entries."""
        return sum(entry.bytes_ for entry in self._entries())

    def _lock(self, image_id: str, *, timeout_s: float = -1) -> FileLock:
        locks = self.folder / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{image_id}.lock", timeout=timeout_s)

    def _fill(self, entry: Path, revision: str, fill: Callable[[Path], int]) -> None:
        partial = self.folder / _PARTIAL / entry.name
        shutil.rmtree(partial, ignore_errors=True)
        try:
            data = partial / _DATA
            data.mkdir(parents=True)
            expected = fill(data)
            files = sorted(path for path in data.iterdir())
            if len(files) != expected:
                raise PacsError(f"A series must arrive whole, got {len(files)} of {expected} instances. Try again.")
            manifest = {"revision": revision, "files": {path.name: _fingerprint(path, sync=True) for path in files}}
            with (partial / _MANIFEST).open("w") as file:
                json.dump(manifest, file)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(data)
            _sync_folder(partial)
            partial.rename(entry)
            _sync_folder(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _is_intact(self, entry: Path, revision: str) -> bool:
        manifest = _read_manifest(entry)
        if manifest is None or manifest["revision"] != revision:
            return False
        try:
            present = {path.name: _fingerprint(path) for path in (entry / _DATA).iterdir()}
        except OSError:
            return False
        return present == manifest["files"]

    def _discard(self, entry: Path) -> None:
        """Make an entry invisible by one rename, then delete it."""
        if entry.exists():
            doomed = self.folder / _DOOMED / entry.name
            shutil.rmtree(doomed, ignore_errors=True)
            doomed.parent.mkdir(exist_ok=True)
            entry.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _entries(self) -> Iterator[_Entry]:
        for folder in _folders(self.folder):
            manifest = _read_manifest(folder)
            if manifest is not None:
                size = sum(size for size, _ in manifest["files"].values())
                try:
                    yield _Entry(folder, size, folder.stat().st_mtime)
                except FileNotFoundError:
                    continue

    def _evict_one(self, entry: _Entry) -> bool:
        try:
            with self._lock(entry.folder.name, timeout_s=0):
                if entry.folder.exists() and time.time() - entry.folder.stat().st_mtime < self._grace_s:
                    return False
                self._discard(entry.folder)
                return True
        except Timeout:
            return False

    def _sweep(self) -> None:
        for leftover in (*_folders(self.folder / _PARTIAL), *_folders(self.folder / _DOOMED)):
            try:
                with self._lock(leftover.name, timeout_s=0):
                    shutil.rmtree(leftover, ignore_errors=True)
            except Timeout:
                continue


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _read_manifest(entry: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and {"revision", "files"} <= manifest.keys() else None


def _fingerprint(path: Path, *, sync: bool = False) -> list[object]:
    """`[size, SHA-256]` of a file, made durable first if asked."""
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return [os.fstat(file.fileno()).st_size, digest]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        reason = "the disk is full" if is_full(error) else f"it is not usable: {error.strerror}"
        raise StorageError(f"The image cache must be writable, but {reason}. Free space or set CARINA_HOME.") from error
