"""Images whose findings stand in a table, as cases.

The table is a CSV file, or `findings.csv` or `cases.csv` in the folder given. Its column `image` names an image (with
or without suffix), `patient` its patient (without that column a `cases.csv` may, see `dataset`); every column with the
name of a finding says 1 (there), 0 (not there), or nothing, or a negative number, where nobody knows.
`Pleural_Thickening` and `pleural thickening` are one name.

A task that judges a part of an image needs the place as well (`places`), and an image may then have several rows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..errors import InvalidInputError, LabelError
from ..geometry import Volume
from ..image_formats import split_suffix
from ..labels import LabelSet, did_you_mean
from ..task import TaskSpec
from .cases import FindingsCase
from .folders import CASES_NAME, file_revision, find_images, load_image, patient_of, read_patients
from .places import Spot, load_part, spot_of

_log = logging.getLogger(__name__)

_TABLES = ("findings.csv", "cases.csv")
_IMAGE_COLUMN, _PATIENT_COLUMN = "image", "patient"


def read_findings(images: Path, table: Path, spec: TaskSpec) -> list[FindingsCase]:
    """Find the images of a folder that a table says something about.

    Args:
        images: Folder of images.
        table: The CSV file, or a folder that holds it.
        spec: The task.

    Returns:
        Cases in the order of their ids; no image is read yet.

    Raises:
        InvalidInputError: If something is missing, a value is no finding, or an image has no patient.
        LabelError: If no column has the name of a finding of the task.
    """
    if not images.is_dir():
        raise InvalidInputError(f"'{images}' must be a folder. Give the folder of images.")
    path = find_table(table)
    header, rows = _all_rows(path)
    columns = _columns(header, spec.labels, path.name)
    found = find_images(images)
    patients = _patients_in(rows) if _PATIENT_COLUMN in header else read_patients(images, path.parent)
    named_in = path.name if _PATIENT_COLUMN in header else CASES_NAME
    cases = []
    for case_id, image_id, row in _named(rows, several=spec.crop_mm is not None):
        findings = _findings_in(row, columns, path.name)
        if image_id not in found or not findings:
            continue
        spot = spot_of(row, header, path.name) if spec.crop_mm is not None else None
        cases.append(
            FindingsCase(
                image_id=case_id,
                patient_id=patient_of(image_id, patients, table=named_in),
                load=_loader(found[image_id], spot, spec),
                findings=findings,
                revision=_revision(found[image_id], findings, spot),
                annotated=frozenset(findings),
            )
        )
    if not cases:
        raise InvalidInputError(
            f"At least one image must have a finding in '{path.name}', got {len(found)} image(s) and {len(rows)} "
            f"row(s) of others. Name the images in the column '{_IMAGE_COLUMN}'."
        )
    return cases


def find_table(table: Path) -> Path:
    """The CSV file that is meant by a file or a folder.

    Raises:
        InvalidInputError: If there is none.
    """
    candidates = [table / name for name in _TABLES] if table.is_dir() else [table]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise InvalidInputError(
            f"Findings must stand in a table, got none in '{table}'. Give a CSV file, or a folder with {_TABLES[0]}."
        )
    return path


def read_rows(path: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    """A table with one line per image.

    Returns:
        The names of its columns, and image id → column → text without spaces around it.

    Raises:
        InvalidInputError: If it has no column `image`.
    """
    header, rows = _all_rows(path)
    return header, dict(rows)


def _all_rows(path: Path) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """As `read_rows`, every line by itself."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        header = list(reader.fieldnames or ())
        if _IMAGE_COLUMN not in header:
            raise InvalidInputError(f"'{path.name}' must have the column '{_IMAGE_COLUMN}', got {header[:8]}.")
        return header, [
            (split_suffix(row[_IMAGE_COLUMN].strip())[0], {name: (row[name] or "").strip() for name in header})
            for row in reader
            if row[_IMAGE_COLUMN]
        ]


def _named(rows: Sequence[tuple[str, dict[str, str]]], *, several: bool) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Case id, image id and row, by image; the last row of an image counts, or all, which then are told apart."""
    if not several:
        yield from ((image_id, image_id, row) for image_id, row in sorted(dict(rows).items()))
        return
    seen: Counter[str] = Counter()
    for image_id, row in sorted(rows, key=lambda item: item[0]):
        seen[image_id] += 1
        yield image_id if seen[image_id] == 1 else f"{image_id}-{seen[image_id]}", image_id, row


def _patients_in(rows: Sequence[tuple[str, dict[str, str]]]) -> dict[str, str]:
    """Image id → patient, as the table says.

    Raises:
        InvalidInputError: If it gives one image to two patients.
    """
    patients: dict[str, str] = {}
    for image_id, row in rows:
        patient = row[_PATIENT_COLUMN]
        if patients.setdefault(image_id, patient) != patient:
            raise InvalidInputError(f"An image must be of one patient, got two for '{image_id}'. Correct the table.")
    return patients


def _loader(path: Path, spot: Spot | None, spec: TaskSpec) -> Callable[[], Volume]:
    if spot is None or spec.crop_mm is None:
        return partial(load_image, path)
    return partial(load_part, path, spot, size_mm=spec.crop_mm)


def _columns(header: Sequence[str], labels: LabelSet, name: str) -> dict[str, str]:
    """Column → finding of the task."""
    columns = {column: plain for column in header if (plain := _plain(column)) in labels}
    if not columns:
        wanted = labels.names[0]
        hint = did_you_mean(wanted, [column for column in header if column])
        raise LabelError(f"'{name}' must have a column per finding, such as '{wanted}', got none of the task's.{hint}")
    missing = [label for label in labels.names if label not in columns.values()]
    if missing:
        _log.warning("%d finding(s) of the task are not in the table: %s.", len(missing), ", ".join(missing))
    return columns


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def _findings_in(row: Mapping[str, str], columns: Mapping[str, str], name: str) -> dict[str, bool]:
    findings = {}
    for column, finding in columns.items():
        text = row[column]
        try:
            value = float(text) if text else math.nan
        except ValueError as error:
            raise InvalidInputError(f"'{name}' must say 1, 0 or nothing of a finding, got '{text[:32]}'.") from error
        if value in (0.0, 1.0):
            findings[finding] = bool(value)
        elif not (math.isnan(value) or value < 0):
            raise InvalidInputError(f"'{name}' must say 1, 0 or nothing of a finding, got '{text[:32]}'.")
    return findings


def _revision(image: Path, findings: Mapping[str, bool], spot: Spot | None) -> str:
    content = f"{file_revision([image])}{json.dumps(dict(findings), sort_keys=True)}"
    if spot is not None:
        content += str(spot)
    return hashlib.sha256(content.encode()).hexdigest()
