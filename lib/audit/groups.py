"""Which group of patients an image belongs to, from the columns of a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..errors import InvalidInputError
from ..labels import did_you_mean
from ..trainers.findings_table import find_table, read_rows
from .subgroups import Groups

USUAL = ("sex", "age", "view", "device")
"""Columns that are looked for where none are named."""

_AGE = "age"
_AGES_BEGIN = (18, 40, 65)
_MOST_GROUPS = 12
_NO_ATTRIBUTES = frozenset({"image", "patient"})


def read_groups(labels: Path, wanted: str | None, *, findings: Collection[str]) -> Groups:
    """Read attributes of images.

    Args:
        labels: The table of findings.
        wanted: A CSV file of its own, all of whose columns count besides `image`, `patient` and findings; or names of
            columns of `labels` with commas. None: those of `USUAL` that it has.
        findings: Of the task.

    Returns:
        Attribute → image id → group; ages in `0–17`, `18–39`, `40–64` and `65+`.

    Raises:
        InvalidInputError: If a column is not there, an age is no number, or a column has too many values for groups.
    """
    own = wanted is not None and Path(wanted).suffix.lower() == ".csv"
    path = Path(wanted) if wanted is not None and own else find_table(labels)
    if own and not path.is_file():
        raise InvalidInputError(f"Option --subgroups must name a table that is there, got '{wanted}'.")
    header, rows = read_rows(path)
    if own:
        names = [name for name in header if name.lower() not in _NO_ATTRIBUTES and name not in findings]
    elif wanted is None:
        names = [name for name in header if name.lower() in USUAL]
    else:
        names = [name.strip() for name in wanted.split(",")]
    missing = [name for name in names if name not in header]
    if missing:
        raise InvalidInputError(
            f"'{path.name}' must have the column '{missing[0]}', got none.{did_you_mean(missing[0], header)}"
        )
    return {name: _column(name, rows, path.name) for name in names}


def _column(name: str, rows: Mapping[str, Mapping[str, str]], table: str) -> dict[str, str]:
    group_of = _age_group if name.lower() == _AGE else str
    found = {image_id: group_of(row[name]) for image_id, row in rows.items() if row[name]}
    if len(set(found.values())) > _MOST_GROUPS:
        raise InvalidInputError(
            f"Column '{name}' of '{table}' must have at most {_MOST_GROUPS} values to be groups, got "
            f"{len(set(found.values()))}. Name other columns with --subgroups, or put its values into groups."
        )
    return found


def _age_group(text: str) -> str:
    try:
        age = float(text.upper().removesuffix("Y"))  # DICOM writes 054Y
    except ValueError as error:
        raise InvalidInputError(f"An age must be a number of years, got '{text[:16]}'. Correct the table.") from error
    begins = [0, *_AGES_BEGIN]
    place = sum(age >= start for start in _AGES_BEGIN)
    return f"{begins[place]}+" if place == len(_AGES_BEGIN) else f"{begins[place]}–{begins[place + 1] - 1}"
