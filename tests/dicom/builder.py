"""Small DICOM series with a known grid, built with pydicom alone."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from carina.geometry import Grid, lps_to_ras

DIRECTIONS = {
    "axial": np.eye(3),
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]).T,
    "sagittal": np.array([[0, 1.0, 0], [0, 0, -1.0], [-1.0, 0, 0]]).T,
    "oblique": None,
}
"""Columns are the LPS directions of a row, of a column and of the stack."""


def direction(name: str) -> np.ndarray:
    """A right-handed `(3, 3)` direction matrix."""
    known = DIRECTIONS[name]
    if known is not None:
        return known
    a, b, c = 0.3, -0.4, 0.2
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def make_grid(
    name: str = "oblique",
    *,
    shape: tuple[int, int, int] = (13, 11, 7),
    spacing_mm: tuple[float, float, float] = (0.8, 1.1, 2.5),
    flips: tuple[bool, bool] = (False, False),
) -> Grid:
    """A right-handed grid; `flips` reverse the row and column directions (and the stack's, to stay right-handed)."""
    matrix = direction(name) * np.where([flips[0], flips[1], flips[0] != flips[1]], -1.0, 1.0)
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = matrix * spacing_mm
    affine_lps[:3, 3] = (-31.5, 17.25, 101.125)
    return Grid(shape, lps_to_ras(affine_lps))


def make_array(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """`(X, Y, Z)` int16 Hounsfield units."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def single_frames(
    grid: Grid,
    array: np.ndarray,
    *,
    intercept: int = -1024,
    instance_numbers: Sequence[int] | None = None,
    seed: int = 0,
) -> list[FileDataset]:
    """One CT instance per slice, in the order of `array`'s slices."""
    uids = [generate_uid(entropy_srcs=[str(seed), kind]) for kind in ("study", "series", "frame of reference")]
    affine = grid.affine_lps
    column_spacing, row_spacing, _ = grid.spacing_mm
    datasets = []
    for index in range(grid.shape[2]):
        dataset = _header(CTImageStorage, "CT", uids, seed=seed, number=index)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.FrameOfReferenceUID = uids[2]
        dataset.PositionReferenceIndicator = ""
        dataset.InstanceNumber = instance_numbers[index] if instance_numbers else index + 1
        dataset.SliceThickness = 4.0
        dataset.KVP = 120
        dataset.AcquisitionNumber = 1
        dataset.PixelSpacing = _ds([row_spacing, column_spacing])
        dataset.ImageOrientationPatient = _ds([*affine[:3, 0] / column_spacing, *affine[:3, 1] / row_spacing])
        dataset.ImagePositionPatient = _ds((affine @ [0, 0, index, 1])[:3])
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, intercept, "HU"
        set_pixels(dataset, (array[:, :, index].T.astype(np.int32) - intercept).astype(np.uint16), bits_stored=12)
        datasets.append(dataset)
    return datasets


def enhanced(grid: Grid, array: np.ndarray, *, frame_order: Sequence[int] | None = None, seed: int = 0) -> FileDataset:
    """One Enhanced CT instance; frame `n` is slice `frame_order[n]`, with its own rescale intercept."""
    order = list(frame_order or range(grid.shape[2]))
    uids = [generate_uid(entropy_srcs=[str(seed), kind]) for kind in ("study", "series", "frame of reference")]
    affine = grid.affine_lps
    column_spacing, row_spacing, _ = grid.spacing_mm
    dataset = _header(EnhancedCTImageStorage, "CT", uids, seed=seed, number=0)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.FrameOfReferenceUID = uids[2]
    dataset.InstanceNumber = 1
    dataset.NumberOfFrames = len(order)
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = _ds([*affine[:3, 0] / column_spacing, *affine[:3, 1] / row_spacing])
    measures.PixelSpacing, measures.SliceThickness = _ds([row_spacing, column_spacing]), 4.0
    shared = Dataset()
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    shared.PixelMeasuresSequence = DicomSequence([measures])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    groups, frames = [], []
    for number, index in enumerate(order):
        group, place, rescale, content = Dataset(), Dataset(), Dataset(), Dataset()
        intercept = -1024 - number
        place.ImagePositionPatient = _ds((affine @ [0, 0, index, 1])[:3])
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, intercept, "HU"
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", index + 1, [1, index + 1]
        group.PlanePositionSequence = DicomSequence([place])
        group.PixelValueTransformationSequence = DicomSequence([rescale])
        group.FrameContentSequence = DicomSequence([content])
        groups.append(group)
        frames.append((array[:, :, index].T.astype(np.int32) - intercept).astype(np.uint16))
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
    set_pixels(dataset, np.stack(frames), bits_stored=12)
    return dataset


def radiograph(pixels: np.ndarray, *, photometric: str = "MONOCHROME2", seed: int = 0) -> FileDataset:
    """A digital radiograph of `(rows, columns)` 12-bit values without a place in the patient."""
    uids = [generate_uid(entropy_srcs=[str(seed), kind]) for kind in ("study", "series")]
    dataset = _header(DigitalXRayImageStorageForPresentation, "DX", uids, seed=seed, number=0)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.InstanceNumber = 1
    dataset.ImagerPixelSpacing = [0.2, 0.15]
    set_pixels(dataset, pixels.astype(np.uint16), bits_stored=12)
    dataset.PhotometricInterpretation = photometric
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray, *, bits_stored: int) -> None:
    """Native pixel data `(frames, rows, columns)` or `(rows, columns)`, uint16 or int16."""
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"


def save(datasets: Sequence[Dataset], folder: Path, *, order: Sequence[int] | None = None) -> Path:
    """Write datasets into `folder`; `order` decides which file name sorts first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, index in enumerate(order or range(len(datasets))):
        datasets[index].save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)
    return folder


def _header(sop_class: str, modality: str, uids: Sequence[str], *, seed: int, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed), modality, str(number)])
    dataset = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids[0], uids[1]
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = "Jürgen^Test", f"P{seed}"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyDate, dataset.StudyTime = datetime.date(2024, 1, 2).strftime("%Y%m%d"), "101112"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.SeriesNumber = 3
    dataset.Manufacturer = "builder"
    return dataset


def _ds(values: Sequence[float]) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [f"{float(value):.12g}"[:16] for value in values]
