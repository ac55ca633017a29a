"""Where the images, labels and patients of two folders are; the forms they may have are in `dataset`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..dicom.series import read_series
from ..errors import InvalidInputError
from ..geometry import Volume
from ..image_formats import IMAGE_SUFFIXES, split_suffix
from ..images import read_volume

CASES_NAME = "cases.csv"
_LABELS_STEM = "labels"
_IMAGE_STEM = "image"


def find_images(folder: Path) -> dict[str, Path]:
    """Image id → image file or DICOM folder.

    Raises:
        InvalidInputError: If there is none.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem, suffix = split_suffix(path.name)
        if path.is_file() and suffix and stem != _LABELS_STEM:
            found[folder.resolve().name if stem == _IMAGE_STEM else stem] = path
        elif path.is_dir() and (inner := _image_in(path)) is not None:
            found[path.name] = inner
    if not found and _holds_dicom(folder):
        found[folder.resolve().name] = folder
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise InvalidInputError(f"'{folder}' must hold images, got none. Expected {kinds}, or folders of DICOM files.")
    return found


def _image_in(folder: Path) -> Path | None:
    named = _with_stem(folder, _IMAGE_STEM)
    if named is not None:
        return named
    return folder if _holds_dicom(folder) else None


def _holds_dicom(folder: Path) -> bool:
    return any(path.suffix.lower() == ".dcm" for path in folder.iterdir() if path.is_file())


def _with_stem(folder: Path, stem: str) -> Path | None:
    """The image file of that stem in a folder, whatever its suffix."""
    for suffix in IMAGE_SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    return None


def find_label(labels: Path, image_id: str, image: Path, *, alone: bool) -> Path | None:
    """Where the label of an image is.

    Args:
        labels: Folder of labels.
        image_id: Of the image.
        image: Its file or DICOM folder, which is not taken for a label.
        alone: Whether there is no other image, so that a label need not bear its id.

    Returns:
        A label file, or a folder of masks; None if there is neither.
    """
    own = labels / image_id
    candidates: list[Callable[[], Path | None]] = [
        lambda: _masks_in(labels / "masks" / image_id),
        lambda: _with_stem(own, _LABELS_STEM) if own.is_dir() else None,
        lambda: _with_stem(labels, _LABELS_STEM) if alone else None,
        lambda: _label_beside(labels, image_id, image),
        lambda: _masks_in(own),
    ]
    return next((path for candidate in candidates if (path := candidate()) is not None), None)


def _label_beside(labels: Path, image_id: str, image: Path) -> Path | None:
    """`<labels>/<id>.*`, unless that is the image itself."""
    path = _with_stem(labels, image_id)
    return None if path is None or path.samefile(image) else path


def _masks_in(folder: Path) -> Path | None:
    if not folder.is_dir() or _with_stem(folder, _IMAGE_STEM) is not None:
        return None
    return folder if any(split_suffix(path.name)[1] for path in folder.iterdir()) else None


def read_patients(images: Path, labels: Path) -> dict[str, str] | None:
    """Image id → patient, from the nearest `cases.csv`; None without one.

    Raises:
        InvalidInputError: If it lacks a column.
    """
    for folder in dict.fromkeys((images, labels, images.resolve().parent)):
        path = folder / CASES_NAME
        if path.is_file():
            with path.open(encoding="utf-8-sig", newline="") as stream:
                rows = csv.DictReader(stream)
                if not {"image", "patient"} <= set(rows.fieldnames or ()):
                    raise InvalidInputError(
                        f"'{CASES_NAME}' must have the columns image and patient, got {rows.fieldnames}."
                    )
                return {split_suffix(row["image"].strip())[0]: row["patient"].strip() for row in rows}
    return None


def patient_of(image_id: str, patients: Mapping[str, str] | None, *, table: str = CASES_NAME) -> str:
    """Whose an image is; without a table every image is a patient of its own.

    Args:
        image_id: Of the image.
        patients: Image id → patient.
        table: Where that stands, for an error.

    Raises:
        InvalidInputError: If the table does not name it.
    """
    if patients is None:
        return image_id
    if not patients.get(image_id):
        raise InvalidInputError(
            f"'{table}' must name the patient of every image, got none for '{image_id}'. Add it: without that one "
            f"patient could be in training and holdout at once."
        )
    return patients[image_id]


def file_revision(roots: Iterable[Path]) -> str:
    """Hash over the files' names, sizes and times, so that nothing large is read."""
    digest = hashlib.sha256()
    for root in roots:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            status = path.stat()
            digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def load_image(path: Path) -> Volume:
    """An image file or a folder of DICOM files.

    Raises:
        CarinaError: As the readers do.
    """
    return read_series(path).volume if path.is_dir() else read_volume(path)
