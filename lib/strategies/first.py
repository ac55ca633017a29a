"""The first unlabelled image in the order of ids: predictable, for working through a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import Candidate, Choice


@dataclass(frozen=True)
class First:
    """Always the smallest id that has no label yet."""

    name: str = "first"
    description: str = "The next unlabelled image in the order of ids"

    def choose(self, pool: Sequence[Candidate], *, now: float) -> Choice | None:
        """See `Strategy.choose`."""
        if not pool:
            return None
        return Choice(image_id=min(candidate.image_id for candidate in pool))


STRATEGY = First()
