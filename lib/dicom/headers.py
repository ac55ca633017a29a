"""Source headers as a derived object needs them: what is missing or malformed must not cost anyone a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from .instances import copy_header
from .series import Series

_REQUIRED_BUT_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_LARGEST_SERIES_NUMBER = 2**31 - 1
_PERSON_NAMES = ("PatientName", "ReferringPhysicianName")


def _sex(value: str) -> str:
    if value not in {"", "M", "F", "O"}:
        raise ValueError(value)
    return value


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "PatientBirthDate": DA,
    "PatientSex": _sex,
    "SliceThickness": float,
    "SpacingBetweenSlices": float,
    "StudyDate": DA,
    "StudyTime": TM,
}


def source_headers(series: Series) -> list[Dataset]:
    """Copies of a series' headers that highdicom accepts.

    Attributes of type 2 that are absent become empty, and so do dates, times and sexes that are not what the standard
    allows. Person names are empty here, since highdicom judges their form; `restore_person_names` puts the source's
    own back. Slices that have a place but no frame of reference get one, the same on every call; a radiograph, which
    lies nowhere, loses the one that some detectors state.
    """
    first = series.datasets[0]
    placed = has_position(series)
    reference = first.get("FrameOfReferenceUID") or generate_uid(entropy_srcs=[series.series_instance_uid])
    headers = []
    for dataset in series.datasets:
        header = copy_header(dataset)
        for keyword in _REQUIRED_BUT_MAY_BE_EMPTY:
            if keyword in _PERSON_NAMES or not _is_valid(header, keyword):
                _replace(header, keyword, "")
        if "SpacingBetweenSlices" in header and not _is_valid(header, "SpacingBetweenSlices"):
            del header[Tag("SpacingBetweenSlices")]
        if series.frame_order is None and placed and not _is_valid(header, "SliceThickness"):
            _replace(header, "SliceThickness", f"{series.volume.grid.spacing_mm[2]:.8g}")
        if placed:
            _replace(header, "FrameOfReferenceUID", reference)
        elif "FrameOfReferenceUID" in header:
            del header[Tag("FrameOfReferenceUID")]
        headers.append(header)
    return headers


def has_position(series: Series) -> bool:
    """Whether a series lies somewhere in its patient, as a radiograph does not."""
    return series.frame_order is not None or "ImagePositionPatient" in series.datasets[0]


def restore_person_names(derived: Dataset, series: Series) -> None:
    """Give a derived object the person names of its source, as they are."""
    for keyword in _PERSON_NAMES:
        setattr(derived, keyword, series.datasets[0].get(keyword) or "")


def plain_object(derived: Dataset) -> FileDataset:
    """A derived object without highdicom's own class and look-up tables, so that it can be copied, pickled and saved.

    Args:
        derived: With `file_meta`, explicit VR little endian, in UTF-8.
    """
    plain = FileDataset("", {}, preamble=b"\0" * 128, file_meta=derived.file_meta)
    plain.update({element.tag: element for element in derived})
    plain.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding="utf8")
    return plain


def derived_series_number(source: Dataset, *, offset: int) -> int:
    """SeriesNumber of a derived object: that of its source, 0 if it has none, and an offset.

    It stays within 1…2³¹ - 1, which an integer string may hold (PS3.5 6.2).
    """
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return min(max(number + offset, 1), _LARGEST_SERIES_NUMBER)


def _replace(header: Dataset, keyword: str, value: str) -> None:
    """Put a new element where the shared one was; setting the old one's value would change the source."""
    tag = Tag(keyword)
    header[tag] = DataElement(tag, dictionary_VR(tag), value)


def _is_valid(header: Dataset, keyword: str) -> bool:
    if keyword not in header:
        return False
    try:
        _PARSERS.get(keyword, str)(str(header[keyword].value))
    except (TypeError, ValueError):
        return False
    return True
