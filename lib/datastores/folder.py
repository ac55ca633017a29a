"""Images in a plain folder: NIfTI, NRRD, MHA, PNG, JPEG, and one sub-folder per DICOM series.

An image's id is its path below the folder without suffix, with separators and foreign characters as `_`. Not listed:
hidden files, `.seg.nrrd`, files called `label` or `labels`, whatever lies in folders called `labels`, `masks` or
`segmentations`, and DICOM objects that are no images. `cases.csv` (columns `image,patient`) may name the patients.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread, dcmwrite

from ..dicom.provenance import DocumentKind
from ..errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    SeriesError,
    StorageError,
    UnknownImageError,
)
from ..image_formats import IMAGE_SUFFIXES, split_suffix
from ..images import read_volume, write_atomically
from .dicom_files import one_image_series, opened, read_header
from .ids import check_id, id_from_name
from .port import NON_IMAGE_MODALITIES, Access, Adapter, ImageRecord

SEGMENTATIONS = "segmentations"
CASES = "cases.csv"
_SKIPPED_FOLDERS = frozenset({"labels", "masks", SEGMENTATIONS})
_SKIPPED_STEMS = frozenset({"label", "labels"})
_IMAGE_SUFFIXES = frozenset(IMAGE_SUFFIXES) - {".seg.nrrd"}
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ""})


@dataclass(frozen=True)
class _Found:
    record: ImageRecord
    path: Path


class FolderStore:
    """Images below one folder. New and removed files show at the next call.

    Safe between threads. Headers are read once per file and change. Lock order: adding, then the list.
    """

    name = "folder"

    def __init__(self, access: Access) -> None:
        self.folder = Path(access.url).expanduser().resolve()
        self._settings = access.settings
        self._lock = threading.Lock()
        self._adding = threading.Lock()  # of two images with one id only the first may be taken
        self._files: dict[str, Path] = {}
        self._headers: dict[Path, tuple[tuple[int, int], Dataset | None]] = {}
        if not self.folder.is_dir():
            raise ConfigurationError(f"An image folder must exist, got {self.folder}. Create it or check the path.")

    def list_images(self) -> list[ImageRecord]:
        """All images, ordered by id.

        Raises:
            InvalidInputError: If two files have one id.
        """
        found = self._scan()
        return [found[image_id].record for image_id in sorted(found)]

    def record(self, image_id: str) -> ImageRecord:
        """What is known about one image."""
        return self._find(image_id).record

    def fetch(self, image_id: str) -> Path:
        """The file itself, or the DICOM series' folder.

        Raises:
            SeriesError: If a DICOM folder holds more than one series.
        """
        path = self._files.get(image_id)  # the id is the file's name, and holds while there is such a file
        if path is None or not path.is_file():
            path = self._find(image_id).path
        if path.is_dir():
            headers = [self._header(file) for file in path.iterdir() if file.is_file()]
            series = {str(header.SeriesInstanceUID) for header in headers if header is not None}
            if len(series) != 1:
                raise SeriesError(
                    f"Folder {path.name} must hold one DICOM series, got {len(series)}. Give each its own folder."
                )
        return path

    def add_image(self, path: Path, image_id: str | None = None) -> str:
        """Copy an image in; it is read first, so that nothing unreadable is kept.

        Raises:
            ConflictError: If the id is taken.
        """
        stem, suffix = split_suffix(path.name)
        if path.is_file() and suffix:
            with self._adding:
                return self._add_file(path, image_id or id_from_name(stem), suffix)
        with opened(path, self._settings) as source, self._adding:
            series = one_image_series(source)
            return self._add_series(series.files, image_id or series.series_instance_uid)

    def remove_image(self, image_id: str) -> None:
        """Delete an image's file, or its series' DICOM files; other files beside them stay."""
        path = self._find(image_id).path
        if not path.is_dir():
            path.unlink()
            return
        for file in list(path.iterdir()):
            if file.is_file() and self._image_header(file) is not None:
                file.unlink()
        if path != self.folder and not any(path.iterdir()):
            path.rmdir()

    def store_instance(self, dataset: Dataset) -> None:
        """Write a DICOM object into `segmentations/`, unless it is there."""
        target = self._instance_path(str(dataset.SOPInstanceUID))
        if not target.is_file():
            write_atomically(target, lambda temporary: dcmwrite(temporary, dataset, enforce_file_format=True))

    def fetch_instance(self, sop_instance_uid: str) -> Dataset:
        """A DICOM object from `segmentations/`."""
        path = self._instance_path(sop_instance_uid)
        if not path.is_file():
            raise UnknownImageError(f"Instance {sop_instance_uid} is not in this folder.")
        return dcmread(path)

    def dicomweb(self) -> Access | None:
        """None: a folder speaks no DICOMweb."""
        return None

    def has_instance(self, sop_instance_uid: str) -> bool:
        """Whether `segmentations/` has the object."""
        return self._instance_path(sop_instance_uid).is_file()

    def find_documents(self, modality: DocumentKind, study_instance_uid: str | None = None) -> list[str]:
        """Objects in `segmentations/`."""
        with self._lock:
            headers = [self._header(path) for path in (self.folder / SEGMENTATIONS).glob("*.dcm")]
        return sorted(
            str(header.SOPInstanceUID)
            for header in headers
            if header is not None
            and header.get("Modality") == modality
            and study_instance_uid in (None, header.get("StudyInstanceUID"))
        )

    def kept(self, image_id: str) -> Path | None:
        """None: nothing is fetched from elsewhere."""
        check_id(image_id)
        return None

    def status(self) -> dict[str, object]:
        """How many images there are."""
        state: dict[str, object] = {"name": self.name, "location": str(self.folder), "reachable": self.folder.is_dir()}
        try:
            return {**state, "images": len(self._scan())}
        except InvalidInputError as error:
            return {**state, "error": str(error)}

    def close(self) -> None:
        """Nothing to give back."""

    def _instance_path(self, sop_instance_uid: str) -> Path:
        return self.folder / SEGMENTATIONS / f"{check_id(sop_instance_uid, what='A SOPInstanceUID')}.dcm"

    def _find(self, image_id: str) -> _Found:
        check_id(image_id)
        found = self._scan().get(image_id)
        if found is None:
            raise UnknownImageError(f"Image {image_id} is not in this folder. Ask for the list again.")
        return found

    def _scan(self) -> dict[str, _Found]:
        with self._lock:
            patients = self._patients()
            found: dict[str, _Found] = {}
            for path in self._image_paths():
                entry = self._describe(path, patients)
                if entry is None:
                    continue
                other = found.setdefault(entry.record.image_id, entry)
                if other is not entry:
                    raise InvalidInputError(
                        f"Each image must have its own id, but {self._relative(other.path)} and "
                        f"{self._relative(path)} both give '{entry.record.image_id}'. Rename one."
                    )
            self._files = {image_id: one.path for image_id, one in found.items() if one.path.is_file()}
            return found

    def _image_paths(self) -> Iterator[Path]:
        """Image files, and folders that hold DICOM files directly."""
        for parent, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("."))
            folder, has_dicom = Path(parent), False
            for name in sorted(names):
                stem, suffix = split_suffix(name)
                if name.startswith(".") or stem.lower() in _SKIPPED_STEMS:
                    continue
                if suffix in _IMAGE_SUFFIXES:
                    yield folder / name
                elif not suffix and not has_dicom and Path(name).suffix.lower() in _DICOM_SUFFIXES:
                    has_dicom = self._image_header(folder / name) is not None
            if has_dicom:
                yield folder

    def _describe(self, path: Path, patients: dict[str, str]) -> _Found | None:
        if not path.is_dir():
            image_id = id_from_name(split_suffix(self._relative(path))[0])
            return _Found(ImageRecord(image_id=image_id, patient_id=patients.get(image_id, image_id)), path)
        image_id = id_from_name(self._relative(path) if path != self.folder else path.name)
        headers = [self._image_header(file) for file in sorted(path.iterdir()) if file.is_file()]
        images = [header for header in headers if header is not None]
        if not images:
            return None
        first = images[0]
        record = ImageRecord(
            image_id=image_id,
            patient_id=patients.get(image_id) or str(first.get("PatientID", "")) or image_id,
            modality=str(first.get("Modality", "")),
            study_instance_uid=str(first.get("StudyInstanceUID", "")),
            description=str(first.get("SeriesDescription", "")),
            instances=len(images),
            body_part=str(first.get("BodyPartExamined", "")),
        )
        return _Found(record, path)

    def _image_header(self, path: Path) -> Dataset | None:
        """The header of a DICOM image file, None for anything else."""
        header = self._header(path)
        return None if header is None or str(header.get("Modality", "")) in NON_IMAGE_MODALITIES else header

    def _header(self, path: Path) -> Dataset | None:
        """The header of a DICOM file, None for anything else; remembered until the file changes."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        remembered = self._headers.get(path)
        if remembered is None or remembered[0] != stamp:
            remembered = (stamp, read_header(path))
            self._headers[path] = remembered
        return remembered[1]

    def _patients(self) -> dict[str, str]:
        path = self.folder / CASES
        if not path.is_file():
            return {}
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"image", "patient"} <= set(rows.fieldnames or ()):
                raise InvalidInputError(f"{CASES} must have the columns image and patient, got {rows.fieldnames}.")
            return {id_from_name(split_suffix(row["image"])[0]): row["patient"] for row in rows if row["image"]}

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _check_free(self, image_id: str) -> None:
        check_id(image_id)
        if image_id.lower() in _SKIPPED_STEMS or image_id in _SKIPPED_FOLDERS:
            raise InvalidInputError(f"An image must not be called as a label is, got {image_id}. Choose another id.")
        if image_id in self._scan():
            raise ConflictError(f"Image {image_id} must not be there yet, but is. Remove it or choose another id.")

    def _add_file(self, path: Path, image_id: str, suffix: str) -> str:
        if suffix not in _IMAGE_SUFFIXES:
            raise InvalidInputError(f"An image must not be called as a label is, got {path.name}. Rename it.")
        self._check_free(image_id)
        read_volume(path)
        write_atomically(self.folder / f"{image_id}{suffix}", lambda temporary: _copy(path, temporary))
        return image_id

    def _add_series(self, files: tuple[Path, ...], image_id: str) -> str:
        self._check_free(image_id)
        target = self.folder / image_id
        try:
            with tempfile.TemporaryDirectory(prefix=".adding-", dir=self.folder) as temporary:
                staged = Path(temporary) / "series"
                staged.mkdir()
                for number, file in enumerate(files):
                    _copy(file, staged / f"{number:06d}.dcm")
                staged.rename(target)
        except OSError as error:
            raise StorageError(f"Folder {self.folder} must be writable, but: {error.strerror}.") from error
        return image_id


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


ADAPTER = Adapter(name="folder", open=FolderStore)
