"""Reading a DICOM SEG object, ours or another's, as a label map."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from ..errors import DicomError, GeometryError, LabelError
from ..geometry import Affine, AnyArray, Grid, Volume, lps_to_ras, resample_label, three_sizes
from ..labels import MOST_OVERLAPPING, LabelSet
from ..structures import STRUCTURES
from .codes import recognise
from .instances import LABEL_MAP_SEGMENTATION_STORAGE, open_object
from .pixels import look_up
from .provenance import ObjectReference, Provenance, read_predecessor, read_provenance

_ON_A_SLICE = 0.1
"""Farthest that a frame may lie from a slice of its source, as a share of their distance."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SegResult:
    """A segmentation read back.

    Attributes:
        label: `(X, Y, Z)` uint8 or uint16 values; sums of them where labels overlap (`LabelSet.values`).
        names: Name → value in `label`, for every described segment that was recognised; some may have no voxels.
        unrecognised: SegmentLabels of segments that are none of the labels asked for; their voxels are left out.
        provenance: What the object says of its origin.
        predecessor: What it was derived from, if it says so.
        sop_instance_uid: Of the SEG object.
        series_instance_uid: Of the SEG object's series.
        source_series_instance_uid: Of the images it belongs to; empty if it does not say.
    """

    label: Volume
    names: Mapping[str, int]
    unrecognised: tuple[str, ...]
    provenance: Provenance
    predecessor: ObjectReference | None
    sop_instance_uid: str
    series_instance_uid: str
    source_series_instance_uid: str


def read_seg(source: Path | Dataset, *, labels: LabelSet | None = None, grid: Grid | None = None) -> SegResult:
    """Read a SEG object as a label map.

    Segments are recognised by SegmentLabel when it is a known name whose codes agree, else by code and modifier;
    never by segment number.

    Args:
        source: A file or a dataset; SpacingBetweenSlices is added to one that lacks it.
        labels: Gives the values; without it values are segment numbers, or one bit for each segment where the object
            says that they overlap, and names come from the catalogue or are the object's own segment labels.
        grid: The source series' grid. Without it the label map spans the slices that have frames, since a SEG object
            does not say how many slices its source has beyond them; and where frames are missing in between, only
            SpacingBetweenSlices tells.

    Returns:
        The label map with names and provenance.

    Raises:
        DicomError: If it is not a SEG object, its frames cannot be read, or its segments overlap and `labels` do not
            or are not given.
        GeometryError: If its frames make no even grid, or none of its voxels falls onto `grid`.
        LabelError: If two segments are the same label.
    """
    dataset = _open(source)
    values, names, unrecognised = _values(dataset, labels)
    overlapping = labels.overlapping if labels is not None else _says_it_overlaps(dataset, values)
    if labels is None and overlapping:
        values = {number: 1 << position for position, number in enumerate(values)}
        names = dict(zip(names, values.values(), strict=True))
    if grid is not None and _lies_in_patient(dataset):
        _state_slice_spacing(dataset, grid)
    label = _decode(dataset, values, overlapping=overlapping)
    if grid is not None:
        label = resample_label(label, grid=grid) if _lies_in_patient(dataset) else _on_radiograph(label, grid)
    series = dataset.get("ReferencedSeriesSequence")
    return SegResult(
        label=label,
        names=names,
        unrecognised=unrecognised,
        provenance=read_provenance(dataset),
        predecessor=read_predecessor(dataset),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        source_series_instance_uid=str(series[0].SeriesInstanceUID) if series else "",
    )


def _open(source: Path | Dataset) -> Dataset:
    dataset = open_object(source, what="A SEG file")
    sop_class = dataset.get("SOPClassUID", "none")
    if sop_class not in (SegmentationStorage, LABEL_MAP_SEGMENTATION_STORAGE) or not dataset.get("SegmentSequence"):
        raise DicomError(f"A segmentation must be a SEG object with segments, got SOP class {sop_class}.")
    return dataset


def _values(dataset: Dataset, labels: LabelSet | None) -> tuple[dict[int, int], dict[str, int], tuple[str, ...]]:
    """Segment number → value, name → value, and what was not recognised."""
    values: dict[int, int] = {}
    names: dict[str, int] = {}
    unrecognised: list[str] = []
    by_name = {label.name: label for label in labels} if labels is not None else {}
    for segment in dataset.SegmentSequence:
        number = int(segment.SegmentNumber)
        own_name = str(segment.get("SegmentLabel", "")).strip() or f"segment_{number}"
        if number == 0:
            continue
        if labels is None:
            structure = recognise(segment, STRUCTURES)
            name, value = (structure.name if structure else own_name), number
        else:
            label = recognise(segment, by_name)
            if label is None:
                unrecognised.append(own_name)
                continue
            name, value = label.name, labels.values[label.name]
        if name in names:
            if labels is not None:
                raise LabelError(f"Each label must be one segment, got two segments that are '{name}'. Merge them.")
            name = f"{own_name}_{number}"
        values[number], names[name] = value, value
    return values, names, tuple(unrecognised)


def _says_it_overlaps(dataset: Dataset, values: Mapping[int, int]) -> bool:
    """Whether segments overlap and a label map has a bit for each (PS3.3 C.8.20.2, Segments Overlap)."""
    return dataset.get("SegmentsOverlap") == "YES" and len(values) < MOST_OVERLAPPING


def _decode(dataset: Dataset, values: Mapping[int, int], *, overlapping: bool) -> Volume:
    """The object's own slices as a label map, with `values` for segment numbers and 0 for all others."""
    combine = not overlapping
    try:
        segmentation = hd.seg.Segmentation.from_dataset(dataset, copy=False)
        if _lies_in_patient(dataset):
            volume = segmentation.get_volume(combine_segments=combine, segment_numbers=list(values) or None)
            array, affine_lps = volume.array, np.asarray(volume.affine)[:, [2, 1, 0, 3]]
        else:
            array, affine_lps = _single_frame(segmentation, values, combine=combine)
    except RuntimeError as error:
        if "overlap" in str(error):
            raise DicomError(
                "Segments must not overlap to become a label map, got some that do. Read them one by one."
            ) from error
        raise GeometryError("Frames of a SEG object must make one even grid, got others. Export it again.") from error
    except (AttributeError, KeyError, TypeError, ValueError, sqlite3.Error) as error:  # highdicom's index is SQLite
        raise DicomError(
            f"A SEG object must be complete and valid, got {type(error).__name__}. Export it again."
        ) from error
    pixels = _joined(array, values) if overlapping else _combined(array, values)
    pixels = pixels.transpose(2, 1, 0)
    return Volume(pixels, Grid(three_sizes(pixels), lps_to_ras(affine_lps)))


def _lies_in_patient(dataset: Dataset) -> bool:
    """Whether the frames have positions; those of a radiograph have none, even where it has a frame of reference."""
    shared, each = (dataset.get(f"{which}FunctionalGroupsSequence") or () for which in ("Shared", "PerFrame"))
    return "FrameOfReferenceUID" in dataset and any(
        "PlanePositionSequence" in groups for groups in (*shared[:1], *each[:1])
    )


def _state_slice_spacing(dataset: Dataset, grid: Grid) -> None:
    """Of an object whose frames lie on slices of its source: how far those are apart, if it does not say so itself.

    Else the smallest distance of two frames would be taken for it, and slices without a frame be filled in.
    """
    shared = dataset.SharedFunctionalGroupsSequence[0] if dataset.get("SharedFunctionalGroupsSequence") else Dataset()
    measures = shared.get("PixelMeasuresSequence")
    if not measures or measures[0].get("SpacingBetweenSlices"):
        return
    frames = [_plane(groups, shared) for groups in dataset.get("PerFrameFunctionalGroupsSequence") or ()]
    planes = np.array([plane for plane in frames if plane is not None], dtype=np.float64)
    if not frames or len(planes) != len(frames):
        return
    normal = np.cross(planes[0, 3:6], planes[0, 6:])
    directions = grid.affine_lps[:3, :3] / grid.spacing_mm
    axis = int(np.argmax(np.abs(normal @ directions)))
    slices = grid.indices_of(planes[:, :3])[:, axis]
    if np.abs(slices - np.rint(slices)).max() < _ON_A_SLICE:
        measures[0].SpacingBetweenSlices = f"{grid.spacing_mm[axis]:.10g}"


def _plane(groups: Dataset, shared: Dataset) -> list[float] | None:
    """Position of a frame, then the directions of its rows and columns; None where one of them is not stated."""
    found = []
    for macro, keyword in (
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ):
        items = groups.get(macro) or shared.get(macro)
        if not items or not items[0].get(keyword):
            return None
        found += [float(value) for value in items[0][keyword].value]
    return found


def _combined(array: AnyArray, values: Mapping[int, int]) -> AnyArray:
    """`(Z, Y, X)` values for segment numbers."""
    lookup = np.zeros(max((*values, int(array.max(initial=0)))) + 1, dtype=_smallest_dtype(values))
    for number, value in values.items():
        lookup[number] = value
    return look_up(lookup, array)


def _joined(array: AnyArray, values: Mapping[int, int]) -> AnyArray:
    """`(Z, Y, X)` sums of the values of `(Z, Y, X, segments)`, which are in the order of `values`."""
    joined: AnyArray = np.zeros(array.shape[:3], dtype=_smallest_dtype({0: sum(values.values())}))
    for position, value in enumerate(values.values()):
        joined[array[..., position] > 0] |= joined.dtype.type(value)
    return joined


def _single_frame(
    segmentation: hd.seg.Segmentation, values: Mapping[int, int], *, combine: bool
) -> tuple[AnyArray, Affine]:
    """A segmented radiograph `(1, Y, X)`; its grid in the patient is not known, so the affine is the identity."""
    sources = segmentation.get_source_image_uids()
    if len(sources) != 1:
        raise GeometryError(
            f"A segmentation without a frame of reference must belong to one image, got {len(sources)} images."
        )
    array = segmentation.get_pixels_by_source_instance(
        [sources[0][2]],
        segment_numbers=list(values) or None,
        combine_segments=combine,
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    return array, np.eye(4)


def _on_radiograph(label: Volume, grid: Grid) -> Volume:
    if label.grid.shape != grid.shape:
        raise GeometryError(
            f"A segmented radiograph must have its image's size {grid.shape}, got {label.grid.shape}. "
            "Check that both belong together."
        )
    return Volume(label.array, grid)


def _smallest_dtype(values: Mapping[int, int]) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if max(values.values(), default=0) < 256 else np.uint16
