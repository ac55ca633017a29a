"""Writes a volume as a CT series, as a scanner would: one CT Image Storage object per slice (PS3.3 A.3).

Patients are fictional. Every UID follows from patient and seed, so writing twice gives the same objects.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ..errors import GeometryError, InvalidInputError
from ..geometry import AnyArray, Volume
from ..labels import did_you_mean

COMPRESSIONS: Mapping[str, UID] = MappingProxyType(
    {"none": ExplicitVRLittleEndian, "rle": RLELossless, "jpegls": JPEGLSLossless, "jpeg2000": JPEG2000Lossless}
)
"""Lossless transfer syntaxes a phantom can be written in."""

_UID_NAMESPACE = uuid.UUID("5d1f7a52-6c35-4c55-9d42-61b3e4e4a0c7")
_RESCALE_INTERCEPT = -1024
_JPEG2000_LEAST_PIXELS = 32
_DATE, _TIME = "20260101", "120000"


@dataclass(frozen=True, kw_only=True)
class SeriesPaths:
    """A series on disk.

    Attributes:
        folder: Where its files are.
        files: One per slice, in the order of the volume's slices whatever their names.
        patient_id: PatientID.
        study_instance_uid: StudyInstanceUID.
        series_instance_uid: SeriesInstanceUID.
    """

    folder: Path
    files: tuple[Path, ...]
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str


def write_series(
    volume: Volume,
    folder: Path,
    *,
    patient_id: str,
    seed: int = 0,
    description: str = "Synthetic chest CT",
    compression: str = "none",
    shuffled: bool = True,
) -> SeriesPaths:
    """Write a CT volume as a DICOM series.

    Args:
        volume: `(X, Y, Z)` Hounsfield units; X becomes columns, Y rows, Z instances. Any orientation whose slices are
            stacked along their normal.
        folder: Created if it is not there.
        patient_id: PatientID, up to 64 characters.
        seed: Decides the UIDs (with the patient) and the shuffling.
        description: SeriesDescription.
        compression: A name from `COMPRESSIONS`; all are lossless.
        shuffled: Give file names and instance numbers an order that says nothing about geometry.

    Returns:
        What was written.

    Raises:
        GeometryError: If the volume's axes are not perpendicular.
        InvalidInputError: If an intensity does not fit 16 bits from -1024 HU, the compression is unknown, or the
            slices are too small for JPEG 2000's wavelet levels.
    """
    if compression not in COMPRESSIONS:
        raise InvalidInputError(f"Compression '{compression}' is not known.{did_you_mean(compression, COMPRESSIONS)}")
    if compression == "jpeg2000" and min(volume.grid.shape[:2]) < _JPEG2000_LEAST_PIXELS:
        raise InvalidInputError(
            f"Slices for JPEG 2000 must be {_JPEG2000_LEAST_PIXELS} pixels or more on each side, "
            f"got {volume.grid.shape[:2]}. Take another compression."
        )
    stored = _stored_values(volume.array)
    header = _series_header(volume, patient_id=patient_id, seed=seed, description=description)
    count = volume.grid.shape[2]
    order = np.random.default_rng([seed, 2]).permutation(count) if shuffled else np.arange(count)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(count):
        number = int(order[index]) + 1
        dataset = _slice(header, volume, index, number)
        dataset.PixelData = np.ascontiguousarray(stored[:, :, index].T).tobytes()
        if compression != "none":
            dataset.compress(COMPRESSIONS[compression], generate_instance_uid=False)
        path = folder / f"IM{number:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return SeriesPaths(
        folder=folder,
        files=tuple(files),
        patient_id=patient_id,
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
    )


def _stored_values(array: AnyArray) -> AnyArray:
    low, high = float(array.min()), float(array.max())
    if low < _RESCALE_INTERCEPT or high > _RESCALE_INTERCEPT + 65535:
        raise InvalidInputError(
            f"CT intensities must lie in [{_RESCALE_INTERCEPT}, {_RESCALE_INTERCEPT + 65535}] HU, "
            f"got [{low:g}, {high:g}]. Clip the volume first."
        )
    return (np.rint(array).astype(np.int32) - _RESCALE_INTERCEPT).astype(np.uint16)


def _uid(*parts: object) -> UID:
    """A UUID-derived UID (PS3.5 B.2) that follows from its parts."""
    return UID(f"2.25.{uuid.uuid5(_UID_NAMESPACE, '/'.join(map(str, parts))).int}")


def _series_header(volume: Volume, *, patient_id: str, seed: int, description: str) -> Dataset:
    """All that the slices share."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    header.SOPClassUID = CTImageStorage
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = _DATE
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = header.ContentTime = _TIME
    header.AccessionNumber = ""
    header.Modality = "CT"
    header.Manufacturer = "carina"
    header.ManufacturerModelName = "synthetic phantom"
    header.ReferringPhysicianName = ""
    header.StudyDescription = "Phantom"
    header.SeriesDescription = description
    header.PatientName = f"Phantom^{seed:03d}"
    header.PatientID = patient_id
    header.PatientBirthDate = ""
    header.PatientSex = "O"
    header.BodyPartExamined = "CHEST"
    header.KVP = "120"
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = _uid(patient_id, seed, "study")
    header.SeriesInstanceUID = _uid(patient_id, seed, "series")
    header.FrameOfReferenceUID = _uid(patient_id, seed, "frame of reference")
    header.StudyID = f"{seed % 10**12}"
    header.SeriesNumber = 1
    header.AcquisitionNumber = 1
    header.PositionReferenceIndicator = ""
    header.LossyImageCompression = "00"
    header.BurnedInAnnotation = "NO"
    _describe_pixels(header, volume)
    return header


def _describe_pixels(header: Dataset, volume: Volume) -> None:
    directions = volume.grid.affine_lps[:3, :3] / np.asarray(volume.grid.spacing_mm)
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-4:
        raise GeometryError("The axes of a CT volume must be perpendicular, got a sheared grid. Resample it first.")
    spacing = volume.grid.spacing_mm
    header.SliceThickness = _decimal(spacing[2])
    header.ImageOrientationPatient = [_decimal(value) for value in (*directions[:, 0], *directions[:, 1])]
    header.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Columns, header.Rows = volume.grid.shape[:2]
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 0
    header.RescaleIntercept = str(_RESCALE_INTERCEPT)
    header.RescaleSlope = "1"
    header.RescaleType = "HU"
    header.WindowCenter, header.WindowWidth = "-300", "1400"


def _slice(header: Dataset, volume: Volume, index: int, number: int) -> Dataset:
    """A new dataset for slice `index` of the volume, with instance number `number`."""
    dataset = Dataset()
    dataset.update(header)
    dataset.SOPInstanceUID = _uid(header.SeriesInstanceUID, index)
    dataset.InstanceNumber = number
    position = volume.grid.affine_lps @ np.array([0, 0, index, 1])
    dataset.ImagePositionPatient = [_decimal(value) for value in position[:3]]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


def _decimal(value: float) -> str:
    """A Decimal String: at most 16 characters (PS3.5 6.2)."""
    text = f"{value + 0.0:.10f}".rstrip("0").rstrip(".")
    return text if len(text) <= 16 else f"{value:.9e}"
