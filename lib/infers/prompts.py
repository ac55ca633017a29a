"""What a person points at, as Slicer and carina's panel send it, checked at the edge; voxel indices of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInputError, LabelError
from ..labels import did_you_mean
from ..regions import Box, Place, Point
from ..task import TaskSpec

BACKGROUND = "background"

_FOREGROUND_STROKES, _BACKGROUND_STROKES = "foreground_scribbles", "background_scribbles"
_MOST_NAME = 128
_MOST_POINTS = 1000
_FARTHEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """How to read a painted label map.

    Attributes:
        foreground: Voxel value of strokes inside the structure.
        background: Voxel value of strokes outside it.
        roi: Nothing beyond it belongs to the structure.
        selected: The structure's name.
    """

    foreground: int = 3
    background: int = 2
    roi: Box | None = None
    selected: str = "foreground"


def strokes_of(params: Mapping[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """Slicer's `label_info` (name and id of each painted segment), `selected_label_name` and `roi`.

    Without `label_info` strokes have MONAI Label's own values, 2 outside and 3 inside.

    Returns:
        `{"strokes": Strokes}`.

    Raises:
        InvalidInputError: If one of them makes no sense.
    """
    values = _painted_values(params.get("label_info"))
    usual = Strokes()
    return {
        "strokes": Strokes(
            foreground=values.get(_FOREGROUND_STROKES, usual.foreground),
            background=values.get(_BACKGROUND_STROKES, usual.background),
            roi=_box("roi", params.get("roi")),
            selected=_name(params.get("selected_label_name")) or usual.selected,
        )
    }


def clicks_of(params: Mapping[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """Points by label: a list under each label's name, or `foreground` and `background` of the one called `label`.

    Slicer sends the first form, with all labels it knows; those of other tasks must be empty or are left out.

    Returns:
        `{"clicks": {name: [(i, j, k), …]}}` with labels of the task and `background`.

    Raises:
        LabelError: If `label` is needed and not the task's.
        InvalidInputError: If a point is not three whole numbers.
    """
    clicks = {name: _points(name, params.get(name)) for name in (*spec.labels.names, BACKGROUND)}
    foreground = _points("foreground", params.get("foreground"))
    if foreground:
        label = _name(params.get("label"))
        if label is None or label not in spec.labels:
            raise LabelError(
                f"Foreground points must say which 'label' they are in, got {label!r}."
                f"{did_you_mean(label or '', spec.labels.names)}"
            )
        clicks[label] = [*clicks[label], *foreground]
    return {"clicks": {name: points for name, points in clicks.items() if points}}


def click_keys(spec: TaskSpec) -> frozenset[str]:
    """Keys of a request that `clicks_of` reads."""
    return frozenset({"label", "foreground", BACKGROUND, *spec.labels.names})


def place_of(params: Mapping[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """Where a task that judges a part of an image is to look: one point, or a box around it, which counts if both come.

    Points are `foreground` as of clicks, the last of which counts; `box` is written as the `roi` of strokes.

    Returns:
        `{"place": Place}`; empty without either, and for tasks that judge whole images.

    Raises:
        InvalidInputError: If one of them makes no sense.
    """
    if spec.crop_mm is None:
        return {}
    points = _points("foreground", params.get("foreground"))
    place: Place | None = _box("box", params.get("box")) or (points[-1] if points else None)
    return {} if place is None else {"place": place}


def place_keys(spec: TaskSpec) -> frozenset[str]:
    """Keys of a request that `place_of` reads; none for tasks that judge whole images."""
    return frozenset() if spec.crop_mm is None else frozenset({"foreground", "box"})


STROKE_KEYS = frozenset({"label_info", "selected_label_name", "roi"})
"""Keys of a request that `strokes_of` reads."""


def _painted_values(label_info: object) -> dict[str, int]:
    if not label_info:
        return {}
    if not isinstance(label_info, list):
        raise InvalidInputError('Parameter \'label_info\' must be a list of {"name": …, "id": …}, got none.')
    values: dict[str, int] = {}
    for position, entry in enumerate(label_info, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        value = entry.get("id", entry.get("idx", position)) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInputError(f"Entry {position} of label_info must have a name and a whole number id.")
        values[name] = value
    return values


def _name(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _MOST_NAME or not value.isprintable():
        raise InvalidInputError(f"A label's name must be at most {_MOST_NAME} printable characters. Rename it.")
    return value


def _box(what: str, box: object) -> Box | None:
    """`[i0, i1, j0, j1, k0, k1]`, ends in either order: Slicer's follow the patient's axes, not the image's."""
    if not box:
        return None
    numbers = _whole(what, box, length=6)
    pairs = [sorted(numbers[start : start + 2]) for start in (0, 2, 4)]
    return (pairs[0][0], pairs[0][1]), (pairs[1][0], pairs[1][1]), (pairs[2][0], pairs[2][1])


def _points(what: str, points: object) -> list[Point]:
    if not points:
        return []
    if not isinstance(points, list) or len(points) > _MOST_POINTS:
        raise InvalidInputError(f"Parameter '{what}' must be a list of at most {_MOST_POINTS} points [i, j, k].")
    whole = [_whole(what, point, length=3) for point in points]
    return [(i, j, k) for i, j, k in whole]


def _whole(what: str, values: object, *, length: int) -> Sequence[int]:
    if isinstance(values, list) and len(values) == length and all(_is_number(value) for value in values):
        return [round(value) for value in values]
    raise InvalidInputError(f"Parameter '{what}' must hold {length} numbers, voxel indices of the image.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FARTHEST
