"""One description for a slice, whether it is a whole instance or a frame of an Enhanced multi-frame object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ..errors import DicomError
from .instances import Instance

Six = tuple[float, float, float, float, float, float]
Three = tuple[float, float, float]

SPACINGS_IN_A_RADIOGRAPH = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One 2D slice and what its stored values mean.

    Attributes:
        instance: Position of its instance in the series as given.
        number: 0-based frame within the instance.
        shape: Rows, columns.
        pixel_spacing_mm: Distance between rows, between columns (PS3.3 10.7.1.3).
        orientation: Direction cosines of a row and of a column in LPS; None for a projection radiograph.
        position_mm: LPS of the first voxel's centre; None for a projection radiograph.
        thickness_mm: SpacingBetweenSlices or SliceThickness, for a single slice only; None if the header has neither.
        slope: Rescale slope.
        intercept: Rescale intercept.
        localizer: Whether the image type says LOCALIZER.
    """

    instance: int
    number: int
    shape: tuple[int, int]
    pixel_spacing_mm: tuple[float, float]
    orientation: Six | None
    position_mm: Three | None
    thickness_mm: float | None
    slope: float
    intercept: float
    localizer: bool


def describe_frames(instances: Sequence[Instance]) -> list[Frame]:
    """Every frame of every instance.

    Args:
        instances: Of one series.

    Returns:
        Frames in the order of the instances, then of the frame numbers.

    Raises:
        DicomError: If an image is in colour, or lacks what is needed to place it.
    """
    return [frame for index, instance in enumerate(instances) for frame in _frames_of(index, instance.header)]


def _frames_of(index: int, header: Dataset) -> Iterator[Frame]:
    if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise DicomError(
            f"An image must be MONOCHROME1 or MONOCHROME2, got {header.get('PhotometricInterpretation', 'none')}. "
            "Colour images have no intensities to segment."
        )
    count = int(header.get("NumberOfFrames") or 1)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if per_frame is None:
        if count > 1:
            raise DicomError(
                f"A multi-frame image must place its frames by functional groups, got {count} frames without. "
                "Convert it to an Enhanced or a single-frame object."
            )
        yield _frame(index, 0, header, (header,))
        return
    if len(per_frame) != count:
        raise DicomError(f"Functional groups must be as many as frames, got {len(per_frame)} for {count} frames.")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    for number, groups in enumerate(per_frame):
        yield _frame(index, number, header, _macros((groups, *shared)))


def _macros(groups: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The first items of the functional group macros, per-frame ones first."""
    wanted = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return tuple(group[name][0] for name in wanted for group in groups if group.get(name))


def _frame(index: int, number: int, header: Dataset, sources: Sequence[Dataset]) -> Frame:
    orientation = _numbers(sources, "ImageOrientationPatient", 6)
    position = _numbers(sources, "ImagePositionPatient", 3)
    if (orientation is None) != (position is None):
        raise DicomError(
            "A slice must have both ImagePositionPatient and ImageOrientationPatient, or neither; got one of them. "
            "Export the series again."
        )
    spacing = _pixel_spacing(sources, placed=position is not None)
    slope = _numbers(sources, "RescaleSlope", 1)
    intercept = _numbers(sources, "RescaleIntercept", 1)
    return Frame(
        instance=index,
        number=number,
        shape=(int(header.Rows), int(header.Columns)),
        pixel_spacing_mm=spacing,
        orientation=None if orientation is None else _six(orientation),
        position_mm=None if position is None else (position[0], position[1], position[2]),
        thickness_mm=_thickness(sources),
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        localizer="LOCALIZER" in (header.get("ImageType") or ()),
    )


def _pixel_spacing(sources: Sequence[Dataset], *, placed: bool) -> tuple[float, float]:
    """Row and column spacing; a radiograph falls back to the detector's, then to 1 mm."""
    for keyword in ("PixelSpacing",) if placed else SPACINGS_IN_A_RADIOGRAPH:
        spacing = _numbers(sources, keyword, 2)
        if spacing is not None:
            if min(spacing) <= 0:
                raise DicomError(f"{keyword} must be positive, got {spacing}. Export the series again.")
            return spacing[0], spacing[1]
    if placed:
        raise DicomError("A slice must have PixelSpacing, got none. Export the series again.")
    return 1.0, 1.0


def _thickness(sources: Sequence[Dataset]) -> float | None:
    """SpacingBetweenSlices or SliceThickness; a malformed one counts as absent, since positions decide."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            thickness = _numbers(sources, keyword, 1)
        except DicomError:
            continue
        if thickness is not None and thickness[0] != 0:
            return abs(thickness[0])
    return None


def _numbers(sources: Sequence[Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    """An attribute's numbers from the first source that has it; None when it is absent or empty."""
    try:
        for source in sources:
            value = source.get(keyword)
            if value is None or value == "":
                continue
            values = value if isinstance(value, MultiValue | list | tuple) else (value,)
            if len(values) != count:
                raise DicomError(f"{keyword} must have {count} values, got {len(values)}. Export the series again.")
            numbers = tuple(float(number) for number in values)
            if not all(map(math.isfinite, numbers)):
                raise ValueError(keyword)
            return numbers
    except (TypeError, ValueError) as error:
        raise DicomError(f"{keyword} must hold numbers, got something else. Export the series again.") from error
    return None


def _six(values: tuple[float, ...]) -> Six:
    a, b, c, d, e, f = values
    return a, b, c, d, e, f
