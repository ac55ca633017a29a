"""Where in its image a finding is, in an SR document of a task that judges a part of an image.

| image | place | group | content items |
|---|---|---|---|
| with a position in the patient | voxel | planar ROI, TID 1410 | image region: SCOORD3D POINT, its centre |
| | box | volumetric ROI, TID 1411 | volume surface: SCOORD3D POLYGON, its first and its last face along the slices |
| radiograph | voxel | TID 1410 | image region: SCOORD POINT, its centre |
| | box | TID 1410 | image region: SCOORD POLYLINE, its edge |

SCOORD3D is in LPS mm in the image's frame of reference (PS3.3 C.18.9). SCOORD is column and row, and the corner of the
first pixel is 0, 0 (PS3.3 C.18.6). All coordinates are kept as 32-bit floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import DicomError
from ..geometry import Grid
from ..regions import Place, bounds, check_place, place_from_json
from .headers import has_position
from .series import Series

Points = NDArray[np.float64]
Group: TypeAlias = (
    hd.sr.MeasurementsAndQualitativeEvaluations
    | hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
)
"""What is said of an image, or of a place in it."""


@dataclass(frozen=True, eq=False)
class ImagePlace:
    """A place, and what says so in a measurement group.

    Attributes:
        place: On the image's grid.
        content: The item, or items.
    """

    place: Place
    content: hd.sr.ImageRegion | hd.sr.ImageRegion3D | hd.sr.VolumeSurface

    def group(self, **said: Any) -> Group:
        """A measurement group about the place; `said` are its other arguments."""
        if isinstance(self.content, hd.sr.VolumeSurface):
            return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_volume_surface=self.content, **said
            )
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=self.content, **said)


@dataclass(frozen=True, eq=False)
class ReportedPlace:
    """A place as a document says it.

    Attributes:
        points: `(n, 3)`: of a voxel its centre alone, of a box its corners. In the patient LPS mm; in a radiograph
            column, row and depth in pixels, counted from the corner of the first: its centre is at one half.
        in_patient: Which of the two they are.
    """

    points: Points
    in_patient: bool

    def on(self, grid: Grid) -> Place:
        """The voxel, or the box.

        Args:
            grid: The image's.

        Raises:
            InvalidInputError: If it is not on the image.
        """
        indices = grid.indices_of(self.points) if self.in_patient else self.points - 0.5
        if len(indices) == 1:
            place = place_from_json(np.rint(indices[0]).astype(int).tolist())
        else:
            edges = np.rint(indices + 0.5).astype(int)
            place = place_from_json(np.stack([edges.min(axis=0), edges.max(axis=0)], axis=1).tolist())
        check_place(place, grid)
        return place


def image_place(place: Place, series: Series, *, headers: Sequence[Dataset]) -> ImagePlace:
    """How a document says a place.

    Args:
        place: On the series' grid.
        series: The image.
        headers: Of its instances, as highdicom takes them.
    """
    corners = np.array(bounds(place), dtype=np.float64).T - 0.5
    return ImagePlace(
        place,
        _in_patient(corners, place, series, headers) if has_position(series) else _in_picture(corners, place, headers),
    )


def groups_at_places(report: hd.sr.MeasurementReport) -> list[Group]:
    """The groups of a report that are about a place."""
    return [*report.get_planar_roi_measurement_groups(), *report.get_volumetric_roi_measurement_groups()]


def place_in(group: Group) -> ReportedPlace | None:
    """What `image_place` wrote into a group; None of one about all of the image.

    Raises:
        DicomError: If the place is written otherwise.
    """
    if isinstance(group, hd.sr.MeasurementsAndQualitativeEvaluations):
        return None
    roi = group.roi
    if isinstance(roi, hd.sr.VolumeSurface):
        return ReportedPlace(np.concatenate(roi.graphic_data).astype(np.float64), in_patient=True)
    if isinstance(roi, hd.sr.ImageRegion3D):
        return ReportedPlace(np.asarray(roi.value, dtype=np.float64), in_patient=True)
    if isinstance(roi, hd.sr.ImageRegion):
        pixels = np.asarray(roi.value, dtype=np.float64)
        depths = np.full(1, 0.5) if len(pixels) == 1 else np.linspace(0, 1, len(pixels))  # through the only slice
        return ReportedPlace(np.column_stack([pixels, depths]), in_patient=False)
    raise DicomError("The place of a finding must be a point or a box, got something else. Export it again.")


def _in_patient(
    corners: Points, place: Place, series: Series, headers: Sequence[Dataset]
) -> hd.sr.ImageRegion3D | hd.sr.VolumeSurface:
    grid, reference = series.volume.grid, str(headers[0].FrameOfReferenceUID)
    if _is_voxel(place):
        return hd.sr.ImageRegion3D("POINT", grid.points_at(corners.mean(axis=0, keepdims=True)), reference)
    across = _rectangle(corners)
    faces = [grid.points_at(np.column_stack([across, np.full(len(across), end)])) for end in corners[:, 2]]
    source = hd.sr.SourceSeriesForSegmentation.from_source_image(headers[0])
    return hd.sr.VolumeSurface("POLYGON", faces, reference, source_series=source)


def _in_picture(corners: Points, place: Place, headers: Sequence[Dataset]) -> hd.sr.ImageRegion:
    source = hd.sr.SourceImageForRegion.from_source_image(headers[0])
    if _is_voxel(place):
        return hd.sr.ImageRegion("POINT", corners.mean(axis=0, keepdims=True)[:, :2] + 0.5, source)
    return hd.sr.ImageRegion("POLYLINE", _rectangle(corners) + 0.5, source)


def _is_voxel(place: Place) -> bool:
    return isinstance(place[0], int)


def _rectangle(corners: Points) -> Points:
    """`(5, 2)` once around the first two axes of a box of `(2, 3)` corners, ending where it began."""
    (left, top), (right, bottom) = corners[:, :2]
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
