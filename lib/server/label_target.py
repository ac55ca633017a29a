"""What a submitted label lies on: the image's grid and patient, without the PACS where that is safe."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..datastores.port import ImageStore
from ..dicom.series import read_grid
from ..errors import InvalidInputError, PacsError
from ..geometry import Grid, same_voxels
from ..image_formats import split_suffix
from ..images import read_volume
from ..regions import Place, check_place

_LOG = logging.getLogger(__name__)
_REMEMBERED = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelTarget:
    """The image a label is of.

    Attributes:
        grid: The image's.
        patient_id: As its header or its store says.
        is_dicom: Whether an object in the PACS could refer to it.
    """

    grid: Grid
    patient_id: str
    is_dicom: bool


def target_of(store: ImageStore, image_id: str, *, label: Grid) -> LabelTarget:
    """Find the image of a label.

    A PACS is not asked when the series that was fetched for the draft is still cached and the label has exactly its
    voxels, in whatever order of axes, so that a PACS that fails or hangs fails no submit. A label on another grid may
    be of a series that has grown since: then the PACS is asked, and the cached series counts only if it does not
    answer.

    Args:
        store: Where the image is.
        image_id: A checked id.
        label: The label's own grid.

    Raises:
        UnknownImageError: If there is no such image.
        PacsError: If the image was never fetched and the PACS does not answer.
    """
    kept = _kept(store, image_id)
    if kept is not None and same_voxels(kept.grid, label):
        return kept
    try:
        return _asked(store, image_id)
    except PacsError as error:
        if kept is None:
            raise
        _LOG.warning("a label is taken for the image as it was fetched before: %s", error)
        return kept


def told_target(store: ImageStore, image_id: str, *, place: Place | None = None) -> tuple[str, bool]:
    """The patient of an image that findings are of, and whether it is DICOM; a fetched series needs no PACS.

    Args:
        store: Where the image is.
        image_id: A checked id.
        place: The part of the image that they are about. If it is not on the series as it was fetched, which may have
            grown since, the PACS is asked.

    Raises:
        UnknownImageError: If there is no such image.
        InvalidInputError: If the place is not on the image.
        PacsError: If the image was never fetched and the PACS does not answer.
    """
    kept = _kept(store, image_id)
    if place is not None and not (kept is not None and _is_on(place, kept.grid)):
        kept = _asked(store, image_id)
        check_place(place, kept.grid)
    if kept is not None:
        return kept.patient_id, kept.is_dicom
    record = store.record(image_id)
    return record.patient_id, bool(record.study_instance_uid)


def _is_on(place: Place, grid: Grid) -> bool:
    try:
        check_place(place, grid)
    except InvalidInputError:
        return False
    return True


def _kept(store: ImageStore, image_id: str) -> LabelTarget | None:
    path = store.kept(image_id)
    if path is None:
        return None
    try:
        state = path.stat()
        return _read_kept(path, (state.st_ino, state.st_mtime_ns))
    except FileNotFoundError:  # the cache has made room meanwhile
        return None
    except InvalidInputError:  # half a series was cached as it arrived; the PACS may have all of it by now
        return None


@lru_cache(maxsize=_REMEMBERED)
def _read_kept(path: Path, _state: tuple[int, int]) -> LabelTarget:
    """Read once what every save of an image needs: a cached series is replaced as a whole or not at all."""
    grid, header = read_grid(path)
    return LabelTarget(grid=grid, patient_id=str(header.get("PatientID") or ""), is_dicom=True)


def _asked(store: ImageStore, image_id: str) -> LabelTarget:
    record = store.record(image_id)
    path = store.fetch(image_id)
    plain = path.is_file() and split_suffix(path.name)[1]
    grid = read_volume(path).grid if plain else read_grid(path)[0]
    return LabelTarget(grid=grid, patient_id=record.patient_id, is_dicom=bool(record.study_instance_uid))
