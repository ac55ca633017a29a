"""Writing a label map as a DICOM SEG object (PS3.3 A.51) with highdicom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from .. import __version__
from ..errors import DicomError, LabelError
from ..geometry import AnyArray, Volume, resample_label
from ..label_maps import mask_of
from ..labels import Label, LabelSet
from .codes import concept, region_of
from .headers import derived_series_number, plain_object, restore_person_names, source_headers
from .pixels import look_up
from .provenance import (
    MANUFACTURER,
    ObjectReference,
    Provenance,
    add_predecessor,
    algorithm_identification,
    content_description,
    person_name,
)
from .series import Series

SegmentationType = Literal["BINARY", "LABELMAP"]

_SERIES_NUMBER_OFFSET = 1000


def write_seg(
    label: Volume,
    series: Series,
    *,
    labels: Iterable[Label],
    provenance: Provenance,
    segmentation_type: SegmentationType = "BINARY",
    sop_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    predecessor: ObjectReference | None = None,
) -> FileDataset:
    """Make a SEG object of a label map.

    Segments are numbered 1…n without gaps over the labels that have voxels, in the order of their indices; they overlap
    where the labels do. Each keeps its name (SegmentLabel) and codes, by which it is found again. Frames without voxels
    are left out. An empty label map makes a valid object: it describes every label of `labels` as looked for, and
    holds one frame of zeros.

    Args:
        label: `(X, Y, Z)` label map of `labels`. On another grid it is brought to the series' by nearest neighbour.
        series: The images it belongs to.
        labels: What the values mean; at least one. A `LabelSet` whose labels overlap, else any labels by their index.
        provenance: Algorithm, model and user.
        segmentation_type: BINARY, or LABELMAP (Label Map Segmentation Storage, newer than most viewers).
        sop_instance_uid: Given again on a retry, so that the PACS gets one object; a new one by default.
        series_instance_uid: Series of the SEG object; a new one by default.
        predecessor: The SEG object this one was derived from.

    Returns:
        The object, explicit VR little endian, ready for `save_as`.

    Raises:
        GeometryError: If the label has voxels but none of them falls onto the series.
        LabelError: If the label map has a value that is not in `labels`, `labels` is empty, or labels that overlap are
            to become a LABELMAP.
        DicomError: If the series' headers cannot carry a derived object.
    """
    labels = labels if isinstance(labels, LabelSet) else tuple(labels)
    label = resample_label(label, grid=series.volume.grid)
    present, pixels = _segments(label, labels, segmentation_type)
    described = present or sorted(labels, key=lambda entry: entry.index)
    sources = source_headers(series)
    try:
        segmentation = hd.seg.Segmentation(
            source_images=sources,
            segmentation_type=segmentation_type,
            segment_descriptions=[_describe(entry, number, provenance) for number, entry in enumerate(described, 1)],
            series_instance_uid=series_instance_uid or generate_uid(),
            sop_instance_uid=sop_instance_uid or generate_uid(),
            series_number=derived_series_number(sources[0], offset=_SERIES_NUMBER_OFFSET),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=content_description(provenance),
            content_creator_name=person_name(provenance),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(present),
            series_description=content_description(provenance),
            specific_character_set="ISO_IR 192",
            **_placed(pixels, series, sources, empty=not present),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DicomError(
            f"A series must be valid enough to derive a SEG object from, got {type(error).__name__}. Check its headers."
        ) from error
    restore_person_names(segmentation, series)
    if not present:
        _keep_one_frame(segmentation)
    if "FrameOfReferenceUID" not in segmentation:
        segmentation.PatientOrientation = sources[0].get("PatientOrientation") or ""
    if predecessor is not None:
        add_predecessor(segmentation, predecessor)
    return plain_object(segmentation)


def _segments(
    label: Volume, labels: Iterable[Label], segmentation_type: SegmentationType
) -> tuple[list[Label], AnyArray]:
    """The labels that have voxels, by index, and highdicom's pixels of them.

    Returns:
        `(Z, Y, X)` segment numbers, 1…n over those labels; or `(Z, Y, X, n)` of 0 and 1 where labels overlap, with a
        plane of zeros if none has voxels.
    """
    if not (isinstance(labels, LabelSet) and labels.overlapping):
        present = _labels_present(label, labels)
        return present, _segment_numbers(label, [entry.index for entry in present])
    if segmentation_type == "LABELMAP":
        raise LabelError("Labels that overlap must be written as BINARY, got LABELMAP. Leave segmentation_type out.")
    masks = {entry: mask_of(label.array, entry, labels).transpose(2, 1, 0) for entry in labels}
    present = [entry for entry, mask in masks.items() if mask.any()]
    drawn = [masks[entry] for entry in present] or list(masks.values())
    return present, np.stack(drawn, axis=-1).astype(np.uint8)


def _labels_present(label: Volume, labels: Iterable[Label]) -> list[Label]:
    by_index = {entry.index: entry for entry in labels}
    if not by_index:
        raise LabelError("A segmentation must describe at least one label, got none.")
    present = _indices_present(label)
    unknown = sorted(set(present) - set(by_index))
    if unknown:
        raise LabelError(
            f"A label map must hold indices of its labels only, got {unknown[:8]}. "
            f"Known indices lie in {min(by_index)}…{max(by_index)}."
        )
    return [by_index[index] for index in present]


def _indices_present(label: Volume) -> list[int]:
    """Label indices with voxels, sorted; counted slice by slice to keep memory small."""
    counts = np.zeros(int(label.array.max(initial=0)) + 1, dtype=np.int64)
    for index in range(label.array.shape[2]):
        counts += np.bincount(label.array[:, :, index].ravel(order="K"), minlength=len(counts))
    return [int(index) for index in np.flatnonzero(counts) if index > 0]


def _segment_numbers(label: Volume, present: Sequence[int]) -> NDArray[np.uint8 | np.uint16]:
    """`(Z, Y, X)` segment numbers, 1…n over the indices present."""
    dtype = np.uint8 if len(present) < 256 else np.uint16
    lookup = np.zeros(int(label.array.max(initial=0)) + 1, dtype=dtype)
    lookup[list(present)] = np.arange(1, len(present) + 1)
    return look_up(lookup, label.array.transpose(2, 1, 0))


def _describe(label: Label, number: int, provenance: Provenance) -> hd.seg.SegmentDescription:
    region, region_modifier = region_of(label)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name,
        segmented_property_category=concept(label.category),
        segmented_property_type=concept(label.type),
        algorithm_type=provenance.algorithm_type,
        algorithm_identification=algorithm_identification(provenance),
        anatomic_regions=[concept(region)] if region else None,
        display_color=CIELabColor.from_rgb(*label.colour),
    )
    if label.modifier is not None:
        modified = description.SegmentedPropertyTypeCodeSequence[0]
        modified.SegmentedPropertyTypeModifierCodeSequence = DicomSequence([concept(label.modifier)])
    if region_modifier is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = DicomSequence([concept(region_modifier)])
    return description


def _placed(pixels: AnyArray, series: Series, sources: Sequence[Dataset], *, empty: bool) -> dict[str, object]:
    """The arguments that say where the frames lie: as the source frames do, or on the series' own grid.

    The spacing between slices is always stated, so that a reader can place the remaining frames of a sparse object.
    """
    grid = series.volume.grid
    radiograph = "FrameOfReferenceUID" not in sources[0]
    if series.tilt_corrected:
        affine = grid.affine_lps[:, [2, 1, 0, 3]]
        volume = hd.Volume(
            pixels[:1] if empty else pixels,
            affine,
            coordinate_system="PATIENT",
            frame_of_reference_uid=str(sources[0].FrameOfReferenceUID),
        )
        return {"pixel_array": volume}
    if series.frame_order is not None:
        pixels = pixels[np.argsort(series.frame_order)]
    if radiograph:
        return {"pixel_array": pixels}
    column_spacing, row_spacing, slice_spacing = grid.spacing_mm
    placed: dict[str, object] = {
        "pixel_array": pixels,
        "pixel_measures": hd.PixelMeasuresSequence(
            pixel_spacing=(row_spacing, column_spacing),
            slice_thickness=slice_spacing,
            spacing_between_slices=slice_spacing,
        ),
    }
    if empty:
        placed["pixel_array"] = pixels[:1]
        placed["plane_positions"] = [
            hd.PlanePositionSequence(
                coordinate_system="PATIENT", image_position=[float(value) for value in grid.affine_lps[:3, 3]]
            )
        ]
    return placed


def _keep_one_frame(segmentation: Dataset) -> None:
    """Cut an object whose frames are all zero down to its first frame."""
    bits = int(segmentation.Rows) * int(segmentation.Columns) * int(segmentation.BitsAllocated)
    size = (bits + 7) // 8
    segmentation.PixelData = bytes(size + size % 2)
    segmentation.NumberOfFrames = 1
    segmentation.PerFrameFunctionalGroupsSequence = DicomSequence(segmentation.PerFrameFunctionalGroupsSequence[:1])
