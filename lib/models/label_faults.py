"""What is wrong with a label, in numbers and in words: how far it lies beyond what is usual, and in which way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sizes import SizeUnit
from .usual import Spread

_SMALLEST_DEVIATION = 0.02
_SMOOTHING = 0.2
_MISSING_BELOW = 0.1
_SIZE_RATIO = 1.5
_SMALLEST_SHIFT_MM = 3.0
_NAMED_SHARE = 0.4
_DIRECTIONS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One structure of one case: its label beside the drawing of a network that had not learned from it.

    Attributes:
        unit: What sizes are in.
        label_size: Of what is labelled.
        drawn_size: Of what is drawn.
        both_size: Of both together.
        exchanged_size: Of the label and the drawing of the other side's structure; 0 where there is no other side.
        surface_dice: Normalised surface Dice at a tolerance of one voxel; nan where label or drawing is empty.
        offset_mm: Where the label's centre lies, seen from the drawing's, RAS; None where one of them is empty.
    """

    unit: SizeUnit
    label_size: float
    drawn_size: float
    both_size: float
    exchanged_size: float
    surface_dice: float
    offset_mm: Vector | None

    @property
    def dice(self) -> float:
        """0–1; one of both is not empty."""
        return 2 * self.both_size / (self.label_size + self.drawn_size)


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What is usual for one structure, over all cases.

    Attributes:
        label_size: Median where it is labelled.
        disagreement: Its spread.
        offset_mm: Median, RAS.
    """

    label_size: float
    disagreement: Spread
    offset_mm: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Agreement]) -> Usual:
        """Of every case in which the structure is labelled or drawn; at least one."""
        volumes = [row.label_size for row in rows if row.label_size > 0]
        typical = float(np.median(volumes)) if volumes else max(row.drawn_size for row in rows)
        disagreements = [_disagreement(row, typical) for row in rows]
        offsets = np.array([row.offset_mm for row in rows if row.offset_mm is not None]).reshape(-1, 3)
        return cls(
            label_size=typical,
            disagreement=Spread.of(disagreements, smallest=_SMALLEST_DEVIATION),
            offset_mm=np.median(offsets, axis=0) if len(offsets) else np.zeros(3),
        )

    def score(self, row: Agreement) -> float:
        """How far a disagreement lies beyond the usual one: 0 (not at all) to 1; 0.5 at six standard deviations."""
        return self.disagreement.beyond(_disagreement(row, self.label_size))


def _disagreement(row: Agreement, typical: float) -> float:
    """0–1, also where one of both is empty: a few voxels drawn where nothing is labelled are a small matter."""
    spare = _SMOOTHING * typical
    overlap = (2 * row.both_size + spare) / (row.label_size + row.drawn_size + spare)
    return 1.0 - (overlap if math.isnan(row.surface_dice) else (overlap + row.surface_dice) / 2)


def reasons(suspects: Sequence[str], rows: Mapping[str, Agreement], usual: Mapping[str, Usual]) -> tuple[str, ...]:
    """What seems to be wrong, in words.

    Args:
        suspects: Names of the structures that stand out, the worst first.
        rows: Name → agreement of all of the case's structures.
        usual: Name → what is usual.
    """
    exchanged = [name for name in suspects if rows[name].exchanged_size > rows[name].both_size]
    found = (
        [f"{' and '.join(sorted(exchanged))} look{'' if len(exchanged) > 1 else 's'} exchanged"] if exchanged else []
    )
    left = [name for name in suspects if name not in exchanged]
    moved = {name: where for name, where in _moved(rows, usual).items() if name not in exchanged}
    together = _together(left, moved)
    if together is not None:
        found.append(f"everything lies {_way(together)}")
        left = [name for name in left if name not in moved]
    return (*found, *(_fault(name, rows[name], usual[name], moved.get(name)) for name in left))


def _moved(rows: Mapping[str, Agreement], usual: Mapping[str, Usual]) -> dict[str, NDArray[np.float64]]:
    """Name → by how many mm more than usual a structure lies elsewhere, RAS."""
    return {
        name: np.asarray(row.offset_mm) - usual[name].offset_mm
        for name, row in rows.items()
        if row.offset_mm is not None
    }


def _together(suspects: Sequence[str], moved: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """The way that most structures of a case went, if two of them or more stand out and most agree on it."""
    if len([name for name in suspects if name in moved]) < 2:
        return None
    ways = np.array(list(moved.values()))
    way: NDArray[np.float64] = np.median(ways, axis=0)
    length = float(np.linalg.norm(way))
    agreeing = np.linalg.norm(ways - way, axis=1) < length / 2
    return way if length >= _SMALLEST_SHIFT_MM and agreeing.mean() > 0.5 else None


def _fault(name: str, row: Agreement, usual: Usual, moved: NDArray[np.float64] | None) -> str:
    """One structure by itself."""
    labelled, drawn = row.unit.text(row.label_size), row.unit.text(row.drawn_size)
    if row.label_size <= _MISSING_BELOW * row.drawn_size:
        some = "is missing" if row.label_size == 0 else f"has only {labelled}"
        return f"{name} {some} where about {drawn} are expected"
    if row.drawn_size <= _MISSING_BELOW * row.label_size:
        return f"{name} has {labelled} where nothing like it is seen"
    ratio = row.label_size / row.drawn_size
    if not 1 / _SIZE_RATIO < ratio < _SIZE_RATIO:
        return f"{name} has {labelled} where about {drawn} are expected"
    if moved is not None and np.linalg.norm(moved) >= _SMALLEST_SHIFT_MM:
        return f"{name} lies {_way(moved)}"
    return f"{name} has another outline than expected (Dice {row.dice:.2f})"


def _way(moved: NDArray[np.float64]) -> str:
    """A vector in mm, RAS, as `12 mm too far left and 7 mm too far superior`; small parts are left out."""
    return " and ".join(_parts(moved)) or "elsewhere"


def _parts(moved: NDArray[np.float64]) -> Iterator[str]:
    enough = _NAMED_SHARE * float(np.max(np.abs(moved)))
    for part, (negative, positive) in zip(moved.tolist(), _DIRECTIONS, strict=True):
        if abs(part) >= enough:
            yield f"{abs(part):.0f} mm too far {positive if part > 0 else negative}"
