"""What is usual for a number, from its values in many cases, and how far another one lies beyond that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ODD = 0.5
"""From this on something is called unusual: six robust standard deviations beyond the usual."""

_USUAL_DEVIATIONS = 6.0
_DEVIATION_PER_MAD = 1.4826


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Middle and width of some values.

    Attributes:
        middle: Their median.
        deviation: Robust standard deviation (from the median absolute deviation).
    """

    middle: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float], *, smallest: float) -> Spread:
        """Of some values, one or more; the deviation is never below `smallest`."""
        array = np.asarray(values, dtype=np.float64)
        middle = float(np.median(array))
        return cls(
            middle=middle, deviation=max(smallest, _DEVIATION_PER_MAD * float(np.median(np.abs(array - middle))))
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Spread:
        """What `dataclasses.asdict` gave."""
        return cls(middle=float(content["middle"]), deviation=float(content["deviation"]))

    @property
    def usable(self) -> bool:
        """Whether these are numbers that something can be compared with."""
        return math.isfinite(self.middle) and 0 < self.deviation < math.inf

    def beyond(self, value: float) -> float:
        """How far a value lies above what is usual: 0 (not at all) to 1; 0.5 at six standard deviations."""
        far = max(0.0, value - self.middle) / self.deviation
        return far / (far + _USUAL_DEVIATIONS)

    def apart(self, value: float) -> float:
        """As `beyond`, in either direction."""
        return self.beyond(self.middle + abs(value - self.middle))
