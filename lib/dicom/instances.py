"""Finding the image instances of one series among files, folders or datasets in memory."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ParametricMapStorage,
    RTDoseStorage,
    SegmentationStorage,
    SurfaceSegmentationStorage,
)

from ..errors import DicomError, SeriesError
from ..geometry import MOST_VOXELS

LABEL_MAP_SEGMENTATION_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""PS3.4 B.5; pydicom 3.0 has no name for it yet."""

_DERIVED_OBJECTS = frozenset(
    {
        LABEL_MAP_SEGMENTATION_STORAGE,
        ParametricMapStorage,
        RTDoseStorage,
        SegmentationStorage,
        SurfaceSegmentationStorage,
    }
)
DAMAGE = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom raises for a damaged file, be it as late as when one of its elements is looked at."""
_FILE_META_GROUP = 2
_SHOWN = 4
_SMALL_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 24
_MOST_BYTES = 2 * MOST_VOXELS
_BULK_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""FloatPixelData, DoubleFloatPixelData, PixelData."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One SOP instance: its header in memory, its pixels where they came from.

    Attributes:
        header: All attributes but the pixel data.
        origin: The file, or the dataset the caller passed; never changed.
    """

    header: Dataset
    origin: Path | Dataset

    def load(self) -> Dataset:
        """The instance with its pixel data; the caller drops it after decoding.

        Raises:
            DicomError: If the file cannot be read any more, or is another instance's by now: a cached series that has
                grown is fetched anew, and its files may have other names then.
        """
        if isinstance(self.origin, Dataset):
            return self.origin
        try:
            loaded = read_dicom(self.origin)
        except (InvalidDicomError, OSError) as error:
            raise DicomError(f"An instance must be readable, got {type(error).__name__}. Send it again.") from error
        if loaded.get("SOPInstanceUID") != self.header.SOPInstanceUID:
            raise DicomError("An instance must stay as it is while it is read, got another in its place. Try again.")
        return loaded


def find_instances(
    source: Path | Sequence[Path] | Sequence[Dataset], *, series_instance_uid: str | None = None
) -> tuple[Instance, ...]:
    """The image instances of exactly one series, in no particular order.

    Args:
        source: A file; a folder, searched with its subfolders; files; or datasets.
        series_instance_uid: Which series, when `source` holds more than one.

    Returns:
        At least one instance. Files of a folder that are not DICOM, DICOMDIR files, and objects that are not images
        (SEG, SR, RTSTRUCT, …) are left out.

    Raises:
        DicomError: If there is no DICOM image, or a file given by itself is not DICOM.
        SeriesError: If there are several image series and none was chosen, the chosen one is absent, or one SOP
            Instance UID occurs twice.
    """
    found = tuple(_read_headers(source))
    images = [instance for instance in found if _is_image(instance.header)]
    if not images:
        raise DicomError(
            f"A series must hold at least one DICOM image, got {len(found)} DICOM objects and no image among them. "
            "Choose a folder with a CT, MR, CR or DX series."
        )
    chosen = _choose_series(images, series_instance_uid)
    repeats = len(chosen) - len({str(instance.header.get("SOPInstanceUID")) for instance in chosen})
    if repeats:
        raise SeriesError(
            f"Every instance of a series must be given once, got {repeats} duplicate SOP Instance UIDs among "
            f"{len(chosen)} files. Remove the duplicates."
        )
    return chosen


def read_dicom(path: Path, *, stop_before_pixels: bool = False, specific_tags: list[str] | None = None) -> FileDataset:
    """As `pydicom.dcmread`, which unpacks a deflated file (PS3.5 A.5) whole: a thousandfold of it at worst.

    Raises:
        DicomError: If it unpacks to more than any image has.
    """
    if path.stat().st_size > _SMALL_BYTES:
        with path.open("rb") as file:
            read_preamble(file, force=False)
            meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != _FILE_META_GROUP)
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                _refuse_bomb(file)
    return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, specific_tags=specific_tags)


def _refuse_bomb(deflated: BinaryIO) -> None:
    unpacking, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed := unpacking.unconsumed_tail or deflated.read(_CHUNK_BYTES):
        unpacked += len(unpacking.decompress(packed, _CHUNK_BYTES))
        if unpacked > _MOST_BYTES:
            raise DicomError(f"A deflated DICOM file must unpack to at most {_MOST_BYTES >> 20:,} MiB, got more.")
        if unpacking.eof:
            return


@contextmanager
def damage_refused() -> Iterator[None]:
    """Say of a damaged DICOM file that it is one.

    Raises:
        DicomError: In place of what pydicom raises.
    """
    try:
        yield
    except DAMAGE as error:
        raise DicomError(
            f"A DICOM file must be complete and intact, got a damaged one ({type(error).__name__}). Send it again."
        ) from error


def open_object(source: Path | Dataset, *, what: str) -> Dataset:
    """One DICOM object, from a file or as it is.

    Args:
        source: A file or a dataset.
        what: Begins the error's sentence, such as "A SEG file".

    Raises:
        DicomError: If the file is not DICOM.
    """
    if isinstance(source, Dataset):
        return source
    try:
        return read_dicom(source)
    except (InvalidDicomError, OSError, *DAMAGE) as error:
        raise DicomError(f"{what} must be readable DICOM, got something else. Check it.") from error


def copy_header(dataset: Dataset) -> Dataset:
    """A dataset without pixel data whose elements can be replaced without changing the original.

    Elements are shared and not parsed, so that a malformed one does no harm; replace them, never set their value.
    """
    header = Dataset()
    tags = dataset.keys()
    for tag in tags:
        if tag not in _BULK_DATA:
            header[tag] = dataset.get_item(tag)
    return header


def _read_headers(source: Path | Sequence[Path] | Sequence[Dataset]) -> Iterator[Instance]:
    if isinstance(source, Path):
        if source.is_dir():
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                header = _read_header(path)
                if header is not None:
                    yield Instance(header, path)
            return
        source = [source]
    for item in source:
        if isinstance(item, Dataset):
            yield Instance(copy_header(item), item)
            continue
        header = _read_header(item)
        if header is None:
            raise DicomError("A file must be DICOM (PS3.10, with 'DICM' at byte 128), got something else. Check it.")
        yield Instance(header, item)


def _read_header(path: Path) -> Dataset | None:
    """The header of a DICOM file, None when the file is not DICOM."""
    try:
        return read_dicom(path, stop_before_pixels=True)
    except InvalidDicomError:
        return None
    except FileNotFoundError as error:
        raise DicomError("A DICOM file must exist, got a path that does not. Check it.") from error
    except OSError as error:
        raise DicomError(f"A DICOM file must be readable, got {type(error).__name__}. Send it again.") from error


def _is_image(header: Dataset) -> bool:
    return (
        "Rows" in header
        and "Columns" in header
        and "SOPInstanceUID" in header
        and header.get("SOPClassUID") not in _DERIVED_OBJECTS
    )


def _choose_series(images: list[Instance], series_instance_uid: str | None) -> tuple[Instance, ...]:
    counts = Counter(str(instance.header.get("SeriesInstanceUID", "")) for instance in images)
    shown = [f"{uid} ({count} instances)" for uid, count in sorted(counts.items())]
    listed = ", ".join(shown[:_SHOWN]) + (", …" if shown[_SHOWN:] else "")
    if series_instance_uid is None:
        if len(counts) > 1:
            raise SeriesError(
                f"One series must be chosen, got {len(counts)}: {listed}. Give one series' folder or files."
            )
        return tuple(images)
    if series_instance_uid not in counts:
        raise SeriesError(f"The series must be among those given, got {series_instance_uid}. Available: {listed}.")
    return tuple(image for image in images if image.header.get("SeriesInstanceUID") == series_instance_uid)
