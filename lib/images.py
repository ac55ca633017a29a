"""Image files that are not DICOM: read as volumes and label maps, written whole or not.

`image_formats` knows the formats: NIfTI, NRRD (also Slicer's `.seg.nrrd`), MHA, PNG and JPEG.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInputError, LabelError, StorageError, is_full
from .geometry import AnyArray, Volume
from .image_formats import Decoded, decode, encoder_of, split_suffix

LabelArray = NDArray[np.uint8] | NDArray[np.uint16]


def read_volume(path: Path) -> Volume:
    """Read an image file.

    Args:
        path: A file with one of `IMAGE_SUFFIXES`. Colour pictures become grey (ITU-R 601 luma).

    Returns:
        `(X, Y, Z)`: uint8, uint16 or int16 where the file holds integers in that range, else float32; rescaled
        intensities where the header asks for it.

    Raises:
        InvalidInputError: If the file is missing, damaged, of an unknown sort, or not a 2D or 3D scalar image.
        GeometryError: If its header gives no usable grid.
    """
    decoded = decode(path, as_label=False)
    if decoded.array.ndim != 3:
        raise InvalidInputError(f"{path.name} must hold one value per voxel, got {decoded.array.shape[0]}.")
    return Volume(_narrow(decoded.array), decoded.grid)


def read_label(path: Path) -> tuple[Volume, dict[str, int] | None]:
    """Read a label map and, where the file carries them, the names of its values.

    Args:
        path: A file with one of `IMAGE_SUFFIXES`. Palette pictures give their palette indices, 1-bit ones 0 and 1.

    Returns:
        `(X, Y, Z)` uint8, or uint16 if a value is above 255; and name → value from a `.seg.nrrd`, else None. The
        layers of a `.seg.nrrd` are merged, and its segments then numbered 1…N in the file's order.

    Raises:
        InvalidInputError: As for `read_volume`.
        LabelError: If a value is negative, fractional or above 65535, or if segments overlap or share a name.
    """
    decoded = decode(path, as_label=True)
    segments = _segments(decoded.metadata)
    if len({segment.name for segment in segments}) != len(segments):
        raise LabelError(f"Segments of {path.name} must have different names. Rename the duplicates in Slicer.")
    if decoded.array.ndim == 4:
        return _merge_layers(decoded, segments, path.name)
    names = {segment.name: segment.value for segment in segments}
    return Volume(as_label_array(decoded.array), decoded.grid), names or None


def as_label_array(array: AnyArray) -> LabelArray:
    """The same label values in the smallest of uint8 and uint16; uint8 and uint16 arrays pass as they are.

    Raises:
        LabelError: If a value is negative, fractional or above 65535.
    """
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        return array
    if array.dtype.kind not in "biuf":
        raise LabelError(f"A label map must hold whole numbers, got {array.dtype}.")
    lowest, highest = (array.min(), array.max()) if array.size else (0, 0)
    whole = array.dtype.kind != "f" or bool((array == np.rint(array)).all())
    if not whole or not (lowest >= 0 and highest <= np.iinfo(np.uint16).max):
        raise LabelError(
            f"A label map must hold whole numbers in 0…65535, got {array.dtype} values in [{lowest}, {highest}]. "
            "Check that the file is a label map and not an image."
        )
    return array.astype(np.uint8) if highest <= np.iinfo(np.uint8).max else array.astype(np.uint16)


def write_label(path: Path, label: Volume) -> None:
    """Write a label map: the whole file appears, or none.

    Args:
        path: `.nii`, `.nii.gz`, `.nrrd`, `.mha` or, for one slice, `.png` (which keeps no affine).
        label: `(X, Y, Z)` of an integer dtype with values in 0…65535; written as uint8 or uint16.

    Raises:
        LabelError: If the map is not of an integer dtype, or a value is out of range.
        InvalidInputError: If the suffix is unknown, or a picture has more than one slice.
        StorageError: If the disk is full or not writable.
    """
    if label.array.dtype.kind not in "bui":
        raise LabelError(f"A label map must be of an integer dtype, got {label.array.dtype}. Round it first.")
    _write(path, Volume(as_label_array(label.array), label.grid))


def write_image(path: Path, image: Volume) -> None:
    """Write an image: the whole file appears, or none.

    Args:
        path: `.nii`, `.nii.gz`, `.nrrd`, `.mha` or, for one slice of uint8 or uint16, `.png`.
        image: `(X, Y, Z)`; 64-bit and half-precision numbers are written as float32.

    Raises:
        InvalidInputError: If the suffix is unknown, or the image does not fit a picture.
        StorageError: If the disk is full or not writable.
    """
    array = image.array
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"An image must hold real numbers, got {array.dtype}.")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype.itemsize == 8 or array.dtype == np.float16:
        array = array.astype(np.float32)
    _write(path, Volume(array, image.grid))


def _write(path: Path, volume: Volume) -> None:
    encode = encoder_of(path.name)
    write_atomically(path, lambda temporary: encode(temporary, volume))


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, and move it into place.

    Safe between threads and processes: the last writer wins, readers see an old or a new file, never a part.

    Args:
        path: The final place; its folder is made.
        write: Called once with the temporary path, which has the same suffix.

    Raises:
        StorageError: If the disk is full or not writable.
    """
    stem, suffix = split_suffix(path.name)
    temporary = path.with_name(f".{stem[:80]}.{secrets.token_hex(6)}.part{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        reason = "the disk is full" if is_full(error) else (error.strerror or "it is not writable")
        raise StorageError(f"{path.name} must be written whole, but {reason}. Free or change the folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Segment(NamedTuple):
    name: str
    value: int
    layer: int


def _narrow(array: AnyArray) -> AnyArray:
    """uint8, uint16 and int16 as they are, other integers as int16 if they fit, all else float32."""
    if array.dtype in (np.uint8, np.uint16, np.int16):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "bui":
        limits = np.iinfo(np.int16)
        if array.dtype.kind == "b" or (array.min() >= limits.min and array.max() <= limits.max):
            return array.astype(np.int16)
    return array.astype(np.float32, copy=False)


def _segments(metadata: Mapping[str, str]) -> list[_Segment]:
    """The segments that Slicer lists in a `.seg.nrrd` header (`Segment0_Name`, `Segment0_LabelValue`, …)."""
    segments: list[_Segment] = []
    for number in itertools.count():
        prefix = f"Segment{number}_"
        if f"{prefix}LabelValue" not in metadata:
            return segments
        name = metadata.get(f"{prefix}Name") or metadata.get(f"{prefix}ID") or f"Segment_{number + 1}"
        try:
            value, layer = int(metadata[f"{prefix}LabelValue"]), int(metadata.get(f"{prefix}Layer", "0"))
        except ValueError as error:
            raise LabelError(f"Segment '{name}' must have a whole label value and layer. Save it again.") from error
        segments.append(_Segment(name, value, layer))
    raise AssertionError


def _merge_layers(decoded: Decoded, segments: Sequence[_Segment], name: str) -> tuple[Volume, dict[str, int]]:
    merged = np.zeros(decoded.grid.shape, dtype=np.uint8 if len(segments) <= 255 else np.uint16)
    for number, segment in enumerate(segments, start=1):
        if not 0 <= segment.layer < len(decoded.array):
            raise LabelError(f"Segment '{segment.name}' of {name} must lie in one of its layers, got {segment.layer}.")
        inside = decoded.array[segment.layer] == segment.value
        taken = np.unique(merged[inside])
        if taken.any():
            other = segments[int(taken.max()) - 1].name
            raise LabelError(
                f"Segments of {name} must not overlap, but '{segment.name}' and '{other}' do. "
                "Choose 'Overwrite other segments' in Slicer and correct them."
            )
        merged[inside] = number
    return Volume(merged, decoded.grid), {segment.name: number for number, segment in enumerate(segments, start=1)}
