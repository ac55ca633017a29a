"""Putting slices in order by where they lie, and refusing what would give a wrong grid.

Nothing here looks at instance numbers, file names, SliceLocation or SliceThickness: a slice's place is its position
projected on the slice normal (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, SeriesError
from ..geometry import Affine
from .frames import Frame

DIRECTION_TOLERANCE = 1e-3
"""Largest difference between direction cosines that are meant to be equal."""

SPACING_TOLERANCE = 0.2
"""Largest distance of a slice from its regular place, as a share of the spacing: headers round positions, some to
0.1 mm. One missing slice moves others by half a spacing at least."""

TILT_TOLERANCE_PIXELS = 0.5
"""Largest sideways drift of the slices over the whole stack, in pixels."""

_SAME_POSITION_MM = 1e-3
_SHOWN_GAPS = 4


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order, and the grid they make.

    Attributes:
        order: Positions of the frames in the list given, from the lowest to the highest along the slice normal.
        affine_lps: `(4, 4)` from (column, row, slice) to LPS mm, with slices taken as perpendicular to the stack.
        drift_pixels: `(Z, 2)` how far each slice lies from its perpendicular place, in columns and rows; None when it
            is nowhere more than a rounding error.
    """

    order: tuple[int, ...]
    affine_lps: Affine
    drift_pixels: NDArray[np.float64] | None = None


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Order frames by geometry.

    Args:
        frames: At least one, of one series.

    Returns:
        Their order and grid; column index, row index and slice index form a right-handed system. A projection
        radiograph, which has no place in the patient, gets `diag(column spacing, row spacing, 1)` in LPS: seen as it
        is shown, columns run to the patient's left.

    Raises:
        SeriesError: If slices are missing, duplicate, unevenly spaced, or differ in size, spacing or orientation, or
            if there are localizers among them.
    """
    _refuse_localizers(frames)
    _refuse_mixed_sizes(frames)
    if any(frame.position_mm is None for frame in frames):
        return _stack_radiograph(frames)
    row, column, normal = _directions(frames)
    positions = np.array([frame.position_mm for frame in frames], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    spacing = _slice_spacing(along[order], frames[0])
    row_spacing, column_spacing = frames[0].pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = row * column_spacing
    affine[:3, 1] = column * row_spacing
    affine[:3, 2] = normal * spacing
    affine[:3, 3] = positions[order[0]]
    offsets = positions[order] - positions[order[0]]
    drift = np.stack([offsets @ row / column_spacing, offsets @ column / row_spacing], axis=1)
    regular = np.abs(drift).max() <= TILT_TOLERANCE_PIXELS
    return Stack(tuple(int(index) for index in order), affine, None if regular else drift)


def tilt_degrees(stack: Stack) -> float:
    """Angle between the stack's direction and the slice normal; 0 for a perpendicular stack.

    Raises:
        SeriesError: If the sideways drift is not even, so that no single tilt explains it.
    """
    if stack.drift_pixels is None:
        return 0.0
    drift = stack.drift_pixels
    even = np.linspace(0, 1, len(drift))[:, None] * drift[-1]
    worst = float(np.abs(drift - even).max())
    if worst > TILT_TOLERANCE_PIXELS:
        raise SeriesError(
            f"Slices must lie on one straight line, got one that is {worst:.1f} pixels off it. "
            "The series mixes acquisitions: split it."
        )
    spacing = np.linalg.norm(stack.affine_lps[:3, :3], axis=0)
    sideways = float(np.hypot(*(drift[-1] * spacing[:2])))
    return float(np.degrees(np.arctan2(sideways, spacing[2] * (len(drift) - 1))))


def _refuse_localizers(frames: Sequence[Frame]) -> None:
    localizers = sum(frame.localizer for frame in frames)
    if localizers:
        raise SeriesError(
            f"A series must hold no localizers, got {localizers} among {len(frames)} slices. "
            "Choose the series without scout images."
        )


def _refuse_mixed_sizes(frames: Sequence[Frame]) -> None:
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1:
        listed = ", ".join(f"{rows}×{columns}" for rows, columns in shapes)
        raise SeriesError(f"Slices must have one size, got {len(shapes)}: {listed}. Split the series.")
    spacings = np.array([frame.pixel_spacing_mm for frame in frames])
    low, high = spacings.min(axis=0), spacings.max(axis=0)
    if (high - low > 1e-3 * low).any():
        raise SeriesError(
            f"Slices must have one pixel spacing, got {low.min():g} to {high.max():g} mm. Split the series."
        )


def _stack_radiograph(frames: Sequence[Frame]) -> Stack:
    without = sum(frame.position_mm is None for frame in frames)
    if len(frames) > 1:
        raise SeriesError(
            f"Slices must have ImagePositionPatient, got {without} of {len(frames)} without. "
            "Radiographs are read one by one."
        )
    row_spacing, column_spacing = frames[0].pixel_spacing_mm
    return Stack((0,), np.diag([column_spacing, row_spacing, 1.0, 1.0]))


def _directions(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row, along a column, and their right-handed normal, in LPS."""
    cosines = np.array([frame.orientation for frame in frames], dtype=np.float64)
    apart = np.abs(cosines - cosines[0]).max(axis=1) > DIRECTION_TOLERANCE
    if apart.any():
        groups = len({tuple(np.round(row, 2)) for row in cosines})
        raise SeriesError(
            f"Slices must have one orientation, got {max(groups, 2)}: {int(apart.sum())} of {len(frames)} slices "
            "differ from the first. Split the series."
        )
    row, column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.abs(np.array(lengths) - 1).max() > DIRECTION_TOLERANCE or abs(row @ column) > DIRECTION_TOLERANCE:
        raise DicomError(
            "ImageOrientationPatient must be two perpendicular unit vectors, got lengths "
            f"{lengths[0]:.4f} and {lengths[1]:.4f} with product {row @ column:.4f}. Export the series again."
        )
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def _slice_spacing(along: NDArray[np.float64], first: Frame) -> float:
    """Even spacing of sorted places; a single slice takes its header's thickness, or 1 mm."""
    if len(along) == 1:
        return first.thickness_mm or 1.0
    gaps = np.diff(along)
    duplicates = int((gaps < _SAME_POSITION_MM).sum())
    if duplicates:
        at = float(along[int(np.argmax(gaps < _SAME_POSITION_MM))])
        raise SeriesError(
            f"Every slice must have its own position, got {duplicates} duplicate positions among {len(along)} slices, "
            f"the first at {at:.2f} mm along the normal. The series mixes phases, echoes or copies: split it."
        )
    spacing = float(along[-1] - along[0]) / (len(along) - 1)
    off = float(np.abs(along - along[0] - spacing * np.arange(len(along))).max())
    if off > SPACING_TOLERANCE * spacing:
        _refuse_uneven(along, gaps)
    return spacing


def _refuse_uneven(along: NDArray[np.float64], gaps: NDArray[np.float64]) -> None:
    """Say whether slices are missing from an even series, or the spacing is mixed."""
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    steps = gaps / usual
    if (np.abs(steps - np.rint(steps)) <= SPACING_TOLERANCE * np.rint(steps)).all() and steps.max() > 1.5:
        missing = np.rint(steps).astype(int) - 1
        holes = [f"{missing[at]} after {along[at]:.2f} mm" for at in np.flatnonzero(missing)]
        more = f" and {len(holes) - _SHOWN_GAPS} more gaps" if holes[_SHOWN_GAPS:] else ""
        raise SeriesError(
            f"A series must be complete, got {len(along)} slices with {missing.sum()} missing at a spacing of "
            f"{usual:.4g} mm: {', '.join(holes[:_SHOWN_GAPS])}{more} along the normal. Send the missing slices."
        )
    raise SeriesError(
        f"Slices must be evenly spaced, got gaps from {gaps.min():.3g} to {gaps.max():.3g} mm among {len(along)} "
        "slices. Slices are missing or the series mixes reconstructions: send or split them."
    )
