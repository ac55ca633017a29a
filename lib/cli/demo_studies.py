"""The demo's patients: phantoms with exact truth, as zipped DICOM series of many kinds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DicomError
from ..geometry import Grid, Volume, lps_to_ras, resample_label
from ..labels import LabelSet
from ..phantoms.chest import make_chest
from ..phantoms.dicom import write_series

Report = Callable[[float, str], None]

# Grid and transfer syntax, taken in turn: straight, oblique, anisotropic, flipped; most lie oblique, each differently.
_KINDS: tuple[dict[str, Any], ...] = (
    {"grid": {}, "compression": "none"},
    {"grid": {"oblique_deg": (6.0, -8.0, 10.0)}, "compression": "jpeg2000"},
    {
        "grid": {"shape": (112, 112, 44), "spacing_mm": (3.0, 3.0, 6.0), "oblique_deg": (-7.0, 4.0, -9.0)},
        "compression": "jpegls",
    },
    {"grid": {"orientation": "RAI", "oblique_deg": (4.0, 9.0, -6.0)}, "compression": "rle"},
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """One synthetic patient.

    Attributes:
        image_id: SeriesInstanceUID.
        study_instance_uid: For the viewer's address.
        patient_id: PatientID.
        archive: Zip of the DICOM series.
        image: int16 HU.
        truth: uint8 label indices on the same grid.
    """

    image_id: str
    study_instance_uid: str
    patient_id: str
    archive: Path
    image: Volume
    truth: Volume


def make_studies(count: int, *, seed: int, folder: Path, report: Report) -> list[Study]:
    """Make `count` patients; the last one is oblique.

    Args:
        count: How many.
        seed: Of the first; the next ones count up.
        folder: Where the archives go.
        report: Told after each.
    """
    studies = []
    for number in range(count):
        kind = _KINDS[1 if number == count - 1 else number % len(_KINDS)]
        phantom = make_chest(seed + number, **kind["grid"])
        name = f"DEMO-{seed + number:03d}"
        series = write_series(
            phantom.image, folder / name, patient_id=name, seed=seed + number, compression=kind["compression"]
        )
        archive = Path(shutil.make_archive(str(folder / name), "zip", series.folder))
        shutil.rmtree(series.folder)
        studies.append(
            Study(
                image_id=series.series_instance_uid,
                study_instance_uid=series.study_instance_uid,
                patient_id=name,
                archive=archive,
                image=phantom.image,
                truth=phantom.label,
            )
        )
        report((number + 1) / count, f"made patient {number + 1} of {count}")
    return studies


def seg_on_grid(content: bytes, grid: Grid, labels: LabelSet) -> Volume:
    """Read a DICOM SEG with highdicom's own reader, and place it on a grid.

    Args:
        content: The file.
        grid: Where the voxels are wanted; the SEG may hold fewer slices.
        labels: Give the label index of each segment, by its name.

    Raises:
        DicomError: If it is no SEG.
        LabelError: If a segment is not one of `labels`.
    """
    import highdicom as hd

    try:
        seg = hd.seg.segread(BytesIO(content))
    except (ValueError, TypeError, AttributeError) as error:
        raise DicomError(f"The PACS must give back a SEG object, got something else ({error}).") from error
    volume = seg.get_volume(combine_segments=True)
    names = {number: str(seg.get_segment_description(number).segment_label) for number in seg.segment_numbers}
    index_of = np.zeros(max(names) + 1, dtype=np.uint8)
    for number, name in names.items():
        index_of[number] = labels.named(name).index
    found = Volume(index_of[volume.array], Grid(volume.spatial_shape, lps_to_ras(np.asarray(volume.affine))))
    return resample_label(found, grid=grid)
