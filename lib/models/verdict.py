"""What is thought of one drawing: in which ways it is unusual, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Oddity(NamedTuple):
    """One way in which a drawing may be unusual.

    Attributes:
        names: The structures it is about.
        odd: How far it lies beyond the usual, 0 (not at all) to 1.
        text: In words.
        fault: Whether it is a mistake rather than a rarity: a structure that others have is missing, or sides are
            exchanged.
    """

    names: tuple[str, ...]
    odd: float
    text: str
    fault: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is thought of one draft.

    Attributes:
        score: 1 (as usual) to 0; 0.5 where something lies six robust standard deviations beyond the usual.
        structures: Name → how odd this structure is, 0–1.
        reasons: What is odd, in words, the oddest first; empty of a plausible draft.
    """

    score: float
    structures: Mapping[str, float]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "score": round(self.score, 4),
            "reasons": list(self.reasons),
            "structures": {name: round(odd, 4) for name, odd in self.structures.items()},
        }
