"""Small DICOM series for the datastores' tests, made with pydicom alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

ROWS, COLUMNS = 12, 10


def build_slice(
    *, study: str, series: str, number: int, patient_id: str = "P1", modality: str = "CT", instance: str | None = None
) -> Dataset:
    """One CT slice of a 12 × 10 oblique, anisotropic grid; its pixels tell slices apart."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else SegmentationStorage
    dataset.SOPInstanceUID = instance or generate_uid()
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.FrameOfReferenceUID = study
    dataset.PatientID = patient_id
    dataset.PatientName = "Test^Phantom"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyDate = "20260101"
    dataset.StudyTime = "120000"
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.Modality = modality
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "Small chest"
    dataset.BodyPartExamined = "CHEST"
    dataset.InstanceNumber = number + 1
    tilt = np.deg2rad(20.0)
    row, column = np.array([np.cos(tilt), np.sin(tilt), 0.0]), np.array([-np.sin(tilt), np.cos(tilt), 0.0])
    dataset.ImageOrientationPatient = [f"{value:.10g}" for value in (*row, *column)]
    dataset.ImagePositionPatient = ["-10", "5", f"{2.5 * number:g}"]
    dataset.PixelSpacing = ["0.8", "1.1"]
    dataset.SliceThickness = "2.5"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    pixels = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) + 200 * number).astype(np.int16)
    dataset.PixelData = pixels.tobytes()
    return dataset


def build_series(
    *, slices: int = 5, patient_id: str = "P1", modality: str = "CT", series: str | None = None
) -> list[Dataset]:
    """A whole series with UIDs of its own."""
    study, series = generate_uid(), series or generate_uid()
    return [
        build_slice(study=study, series=series, number=number, patient_id=patient_id, modality=modality)
        for number in range(slices)
    ]


def build_other_object(image: Dataset, *, modality: str = "SEG") -> Dataset:
    """An object in the study of `image`, standing in for a finished result."""
    return build_slice(study=image.StudyInstanceUID, series=generate_uid(), number=0, modality=modality)


def write_series(datasets: list[Dataset], folder: Path) -> Path:
    """Write each instance as `<number>.dcm`, in reverse order of position."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(reversed(datasets)):
        dataset.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return folder
