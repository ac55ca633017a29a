"""Stored pixels to intensities: decoding, rescale, MONOCHROME1, a radiograph's VOI LUT, and the smallest lossless type.

Decoding goes through pydicom and its plugins (pylibjpeg for JPEG, JPEG 2000 and RLE, pyjpegls for JPEG-LS), one
instance at a time, so that memory holds the volume and one instance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from ..errors import DicomError
from ..geometry import AnyArray
from .frames import Frame
from .instances import Instance

_INT16 = np.iinfo(np.int16)

QUANTITATIVE_MODALITIES = frozenset({"CT", "NM", "PT"})
"""Their values are physical quantities, which MONOCHROME1 (how to show them) does not change."""


def decode_frames(frames: Sequence[Frame], instances: Sequence[Instance]) -> AnyArray:
    """Decode frames into one array.

    Args:
        frames: In the order of the slices.
        instances: What the frames' `instance` counts in.

    Returns:
        `(X, Y, Z)` = (columns, rows, slices), int16 where that is lossless, else float32. A MONOCHROME1 radiograph or
        MR is inverted within its range, so that brighter is always more. A radiograph with a VOI LUT or a window has
        the values of its presentation: its stored values may be anything that the detector gave.

    Raises:
        DicomError: If pixel data are missing, damaged or in a transfer syntax without a decoder.
    """
    rows, columns = frames[0].shape
    slices: AnyArray = np.empty((len(frames), rows, columns), dtype=np.int16)
    wanted: dict[int, list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        wanted[frame.instance].append(place)
    for index, places in wanted.items():
        dataset = instances[index].load()
        for place in places:
            values = _intensities(dataset, frames[place])
            if slices.dtype != np.float32 and values.dtype != np.int16:
                slices = slices.astype(np.float32)
            slices[place] = values
    return slices.transpose(2, 1, 0)


def look_up(lookup: AnyArray, slices: AnyArray) -> AnyArray:
    """`lookup[slices]`, slice by slice: numpy would first copy all of `slices` to 64-bit indices.

    Args:
        lookup: `(N,)` new values.
        slices: `(Z, Y, X)` unsigned indices below N.

    Returns:
        `(Z, Y, X)`, contiguous, of `lookup`'s dtype.
    """
    result = np.empty(slices.shape, dtype=lookup.dtype)
    for target, source in zip(result, slices, strict=True):
        np.take(lookup, source, out=target)
    return result


def _intensities(dataset: Dataset, frame: Frame) -> AnyArray:
    """`(rows, columns)` of one frame after rescale, int16 or float32."""
    stored = _decode(dataset, frame)
    quantitative = dataset.get("Modality") in QUANTITATIVE_MODALITIES
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1" and not quantitative
    shown = None if quantitative or frame.position_mm is not None else _as_shown(stored, dataset)
    if shown is None and dataset.get("ModalityLUTSequence"):
        shown = np.asarray(apply_modality_lut(stored, dataset))
    if shown is not None:
        return _smallest(shown.min() + shown.max() - shown.astype(np.float64) if inverted else shown)
    if inverted:
        lowest, highest = _stored_range(dataset)
        stored = lowest + highest - stored.astype(np.int64)
    if float(frame.slope).is_integer() and float(frame.intercept).is_integer():
        return _smallest(stored.astype(np.int64) * int(frame.slope) + int(frame.intercept))
    return (stored * frame.slope + frame.intercept).astype(np.float32)


def _as_shown(stored: AnyArray, dataset: Dataset) -> AnyArray | None:
    """A radiograph after its modality and VOI LUTs (PS3.3 C.11.1, C.11.2); None where its header has no usable VOI."""
    if not (dataset.get("VOILUTSequence") or dataset.get("WindowWidth")):
        return None
    try:
        shown = np.asarray(apply_voi_lut(apply_modality_lut(stored, dataset), dataset))
    except (AttributeError, IndexError, NotImplementedError, TypeError, ValueError):
        return None  # how to show an image must not decide whether it can be read
    return shown if shown.min() < shown.max() else None


def _decode(dataset: Dataset, frame: Frame) -> AnyArray:
    if "PixelData" not in dataset:
        raise DicomError("An image must hold integer pixel data, got none. Send the series again.")
    try:
        stored = pixel_array(dataset, index=frame.number, raw=True)
    except (AttributeError, EOFError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        syntax = dataset.file_meta.get("TransferSyntaxUID", "none") if hasattr(dataset, "file_meta") else "none"
        raise DicomError(
            f"Pixel data must decode, got {type(error).__name__} in transfer syntax {getattr(syntax, 'name', syntax)}. "
            "The file is damaged or its compression is not supported: export it again."
        ) from error
    if stored.shape != frame.shape:
        raise DicomError(f"A decoded slice must have {frame.shape} rows and columns, got {stored.shape}.")
    return stored


def _stored_range(dataset: Dataset) -> tuple[int, int]:
    bits = int(dataset.BitsStored)
    if dataset.PixelRepresentation == 1:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _smallest(values: AnyArray) -> AnyArray:
    if np.issubdtype(values.dtype, np.integer) and values.min() >= _INT16.min and values.max() <= _INT16.max:
        return values.astype(np.int16)
    return values.astype(np.float32)
