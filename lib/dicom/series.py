"""Reading one image series into one volume, or refusing it with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from ..errors import SeriesError
from ..geometry import Grid, Volume, lps_to_ras, refuse_huge, three_sizes
from .frames import SPACINGS_IN_A_RADIOGRAPH, Frame, describe_frames
from .instances import Instance, damage_refused, find_instances
from .pixels import decode_frames
from .stacking import Stack, stack_frames, tilt_degrees


@dataclass(frozen=True, eq=False, kw_only=True)
class Series:
    """One image series as a volume, with what a derived object must know of it.

    Attributes:
        volume: `(X, Y, Z)` = (columns, rows, slices), int16 or float32 intensities after rescale.
        datasets: Headers without pixel data: one per slice, in slice order, or the one multi-frame object.
        frame_order: For a multi-frame object, the 0-based frame of each slice; None for single-frame instances.
        tilt_corrected: Whether the volume was resampled, so that its slices are no longer those of `datasets`.
    """

    volume: Volume
    datasets: tuple[Dataset, ...]
    frame_order: tuple[int, ...] | None = None
    tilt_corrected: bool = False

    @property
    def instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs, in slice order."""
        return tuple(str(dataset.SOPInstanceUID) for dataset in self.datasets)

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.datasets[0].SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return str(self.datasets[0].StudyInstanceUID)

    @property
    def patient_id(self) -> str:
        """PatientID; empty when the header has none."""
        return str(self.datasets[0].get("PatientID") or "")

    @property
    def modality(self) -> str:
        """Modality, such as CT."""
        return str(self.datasets[0].get("Modality") or "")

    @property
    def radiograph_pixel_mm(self) -> float | None:
        """Width of a radiograph's pixel; None where its header says nothing, and the grid's 1 mm is a pixel."""
        known = any(self.datasets[0].get(keyword) for keyword in SPACINGS_IN_A_RADIOGRAPH)
        return self.volume.grid.spacing_mm[0] if known else None


def read_series(
    source: Path | Sequence[Path] | Sequence[Dataset],
    *,
    series_instance_uid: str | None = None,
    correct_tilt: bool = False,
) -> Series:
    """Read one series of CT, MR, PT, CR, DX or the like, single-frame or Enhanced multi-frame.

    Args:
        source: A file; a folder, searched with its subfolders; files; or datasets (which are not changed).
        series_instance_uid: Which series, when `source` holds more than one.
        correct_tilt: Shear a series with gantry tilt onto a perpendicular grid, interpolating linearly within each
            slice; otherwise such a series is refused.

    Returns:
        The volume on a right-handed grid: index `i` along a row (column number), `j` down a column, `k` along the
        slice normal. Slice spacing comes from positions. A single radiograph has `Z = 1`, ImagerPixelSpacing where
        there is no PixelSpacing, and `diag(column spacing, row spacing, 1)` as its affine in LPS.

    Raises:
        DicomError: If nothing in `source` is a usable DICOM image.
        SeriesError: If the slices do not make one even grid; the message has the numbers.
    """
    with damage_refused():
        instances, frames, stack = _arrange(source, series_instance_uid=series_instance_uid)
        tilt = tilt_degrees(stack)
        if tilt and not correct_tilt:
            raise _tilted(tilt)
        ordered = [frames[index] for index in stack.order]
        array = decode_frames(ordered, instances)
    volume = Volume(array, Grid(three_sizes(array), lps_to_ras(stack.affine_lps)))
    multi_frame = _is_multi_frame(instances, frames)
    return Series(
        volume=_untilt(volume, stack) if tilt else volume,
        datasets=tuple(instances[frame.instance].header for frame in (ordered[:1] if multi_frame else ordered)),
        frame_order=tuple(frame.number for frame in ordered) if multi_frame else None,
        tilt_corrected=bool(tilt),
    )


def read_grid(source: Path | Sequence[Path]) -> tuple[Grid, Dataset]:
    """The grid `read_series` would give, and the header of one instance; pixels are not read.

    Args:
        source: A file; a folder, searched with its subfolders; or files.

    Raises:
        DicomError: If nothing in `source` is a usable DICOM image.
        SeriesError: If the slices do not make one even grid.
    """
    with damage_refused():
        instances, frames, stack = _arrange(source)
    if tilt := tilt_degrees(stack):
        raise _tilted(tilt)
    rows, columns = frames[0].shape
    return Grid((columns, rows, len(frames)), lps_to_ras(stack.affine_lps)), instances[0].header


def _arrange(
    source: Path | Sequence[Path] | Sequence[Dataset], *, series_instance_uid: str | None = None
) -> tuple[Sequence[Instance], list[Frame], Stack]:
    instances = find_instances(source, series_instance_uid=series_instance_uid)
    frames = describe_frames(instances)
    _refuse_mixed_frames_of_reference([instance.header for instance in instances])
    stack = stack_frames(frames)
    refuse_huge([len(frames), *frames[0].shape])
    if _is_multi_frame(instances, frames) and len(instances) > 1:
        raise SeriesError(
            f"A multi-frame series must be one instance, got {len(instances)}. Read its instances one by one."
        )
    return instances, frames, stack


def _is_multi_frame(instances: Sequence[Instance], frames: Sequence[Frame]) -> bool:
    return len(frames) > len(instances) or "PerFrameFunctionalGroupsSequence" in instances[0].header


def _tilted(degrees: float) -> SeriesError:
    return SeriesError(
        f"Slices must be stacked along their normal, got a gantry tilt of {degrees:.1f}°. "
        "Choose a reconstruction without tilt, or resample it: in Python, read_series(…, correct_tilt=True)."
    )


def _refuse_mixed_frames_of_reference(headers: Sequence[Dataset]) -> None:
    references = {str(header.get("FrameOfReferenceUID", "")) for header in headers}
    if len(references) > 1:
        raise SeriesError(
            f"Slices must share one frame of reference, got {len(references)} among {len(headers)} instances. "
            "Their positions cannot be compared: split the series."
        )


def _untilt(volume: Volume, stack: Stack) -> Volume:
    """Shift every slice within its plane to where it lies; the grid grows so that nothing is cut off.

    Args:
        volume: `(X, Y, Z)`.
        stack: With the drift of each slice.

    Returns:
        float32 on the perpendicular grid; what no slice covers has the volume's minimum.
    """
    if stack.drift_pixels is None:
        return volume
    low = np.floor(stack.drift_pixels.min(axis=0)).astype(int)
    high = np.ceil(stack.drift_pixels.max(axis=0)).astype(int)
    x, y, z = volume.array.shape
    shape = (x + int(high[0] - low[0]), y + int(high[1] - low[1]), z)
    lowest = float(volume.array.min())
    result = np.empty(shape, dtype=np.float32, order="F")
    for index, drift in enumerate(stack.drift_pixels):
        result[:, :, index] = ndimage.affine_transform(
            volume.array[:, :, index].astype(np.float32),
            np.ones(2),
            offset=low - drift,
            output_shape=shape[:2],
            order=1,
            mode="constant",
            cval=lowest,
        )
    affine_lps = stack.affine_lps.copy()
    affine_lps[:3, 3] += affine_lps[:3, :2] @ low
    return Volume(result, Grid(shape, lps_to_ras(affine_lps)))
