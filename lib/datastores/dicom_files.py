"""DICOM files from outside: found in a file, folder or zip, and sorted into series before anything is stored."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from ..dicom.instances import DAMAGE, read_dicom
from ..errors import DicomError, InvalidInputError, SeriesError
from ..settings import Settings
from .archive import ArchiveLimits, unpack_zip
from .ids import check_id
from .port import NON_IMAGE_MODALITIES

_HEADER_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
]
_UNREADABLE = (DicomError, InvalidDicomError, OSError, *DAMAGE)
_MIB = 1 << 20
_SHOWN = 4


@dataclass(frozen=True)
class DicomSeriesFiles:
    """The files of one series, and the header of its first.

    Attributes:
        header: A few identifying attributes.
        files: In the order of their names.
        repeats: How many files more hold an instance that is among `files` already.
    """

    header: Dataset
    files: tuple[Path, ...]
    repeats: int = 0

    @property
    def series_instance_uid(self) -> str:
        """The series' UID, checked to be a safe id."""
        return check_id(str(self.header.SeriesInstanceUID), what="A SeriesInstanceUID")

    @property
    def is_image(self) -> bool:
        """Whether a task could draft on it: not a SEG, SR, presentation state or the like."""
        return str(self.header.get("Modality", "")) not in NON_IMAGE_MODALITIES

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """A temporary folder with links to the series' files and nothing else.

        Raises:
            SeriesError: If an instance is there twice.
        """
        self.refuse_repeats()
        with tempfile.TemporaryDirectory(prefix="series-") as folder:
            for number, file in enumerate(self.files):
                (Path(folder) / f"{number:06d}.dcm").symlink_to(file.resolve())
            yield Path(folder)

    def refuse_repeats(self) -> None:
        """Which of two files of one instance counts, nobody can tell.

        Raises:
            SeriesError: If an instance is there twice.
        """
        if self.repeats:
            raise SeriesError(
                f"A series must hold each instance once, got {self.repeats} file(s) of "
                f"{len(self.files) + self.repeats} that repeat another's instance. Remove the duplicates."
            )


def read_header(path: Path) -> Dataset | None:
    """The identifying attributes of a DICOM file, None if it is no DICOM instance of a series."""
    try:
        header = read_dicom(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
        identified = header.get("SOPInstanceUID") and header.get("SeriesInstanceUID")
    except _UNREADABLE:
        return None
    return header if identified else None


def is_damaged(path: Path) -> bool:
    """Whether a file of which `read_header` makes nothing was to be a DICOM instance, or cannot even be opened."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return False
        meta = read_dicom(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS).file_meta
    except _UNREADABLE:
        return True
    return bool(meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage)


def group_series(path: Path) -> list[DicomSeriesFiles]:
    """Sort a DICOM file, or all DICOM files below a folder, into series; other files are passed over.

    Raises:
        DicomError: If there is no DICOM instance at all.
    """
    found, _ = sort_files(path)
    _refuse_none(found, path)
    return found


def _refuse_none(found: list[DicomSeriesFiles], path: Path) -> None:
    if not found and path.is_file():
        raise DicomError(
            f"{path.name} must be DICOM, as a PACS takes nothing else, and is not. Keep other images in a folder store."
        )
    if not found:
        raise DicomError(f"{path.name} must be or hold DICOM instances, and none was found. Check what was exported.")


def sort_files(path: Path) -> tuple[list[DicomSeriesFiles], list[Path]]:
    """As `group_series`, but nothing is an answer too; and the files that no series has because they are damaged."""
    candidates = [path] if path.is_file() else sorted(child for child in path.rglob("*") if child.is_file())
    headers: dict[str, Dataset] = {}
    files: dict[str, dict[str, Path]] = {}
    repeats: Counter[str] = Counter()
    damaged = []
    for candidate in candidates:
        header = read_header(candidate)
        if header is None:
            damaged += [candidate] if is_damaged(candidate) else []
            continue
        series, instance = str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
        headers.setdefault(series, header)
        repeats[series] += files.setdefault(series, {}).setdefault(instance, candidate) is not candidate
    found = [
        DicomSeriesFiles(header, tuple(files[series].values()), repeats[series]) for series, header in headers.items()
    ]
    return found, damaged


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[Path]:
    """`path` itself, or, for a zip archive, a temporary folder with what it holds.

    Raises:
        InvalidInputError: If the path does not exist.
        ArchiveError: If the archive is damaged or over the limits.
    """
    if not path.exists():
        raise InvalidInputError(f"{path.name} must exist, and is not there. Check the path.")
    if not (path.is_file() and path.suffix.lower() == ".zip"):
        yield path
        return
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="upload-", dir=settings.cache_dir) as folder:
        limits = ArchiveLimits(total_bytes=settings.unpacked_limit_mib * _MIB)
        unpack_zip(path, Path(folder), limits=limits)
        yield Path(folder)


def image_series(path: Path) -> list[DicomSeriesFiles]:
    """As `group_series`, without objects that are no images.

    Raises:
        DicomError: If there is no image series.
    """
    return images_among(sort_files(path)[0], path)


def images_among(found: list[DicomSeriesFiles], path: Path) -> list[DicomSeriesFiles]:
    """As `image_series`, of the series that `sort_files` found at a path already."""
    _refuse_none(found, path)
    images = [series for series in found if series.is_image]
    if not images:
        raise DicomError(f"{path.name} must hold an image series, and holds other DICOM objects only.")
    return images


def one_image_series(path: Path, *, image_id: str | None = None) -> DicomSeriesFiles:
    """The only image series in `path`; objects that are no images (a SEG beside the CT) are left out.

    Args:
        path: A DICOM file or folder.
        image_id: If given, what the series' UID must be.

    Raises:
        DicomError: If there is no image series.
        SeriesError: If an instance is there twice.
        InvalidInputError: If there are several, or the UID is another.
    """
    images = image_series(path)
    if len(images) > 1:
        counts = " and ".join(str(len(series.files)) for series in images[:_SHOWN])
        raise InvalidInputError(
            f"One image at a time must be added, got {len(images)} series, with {counts} file(s). Import them one by "
            f"one; a series of one file may be a slice of another that was cut short in its header."
        )
    images[0].refuse_repeats()
    uid = images[0].series_instance_uid
    if image_id is not None and uid != check_id(image_id):
        raise InvalidInputError("The id of a DICOM image must be its SeriesInstanceUID. Leave the id out.")
    return images[0]
