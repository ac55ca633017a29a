"""The first unlabelled images in the order of ids: predictable, for working through a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .port import NO_NEEDS, NOTHING, Candidate, Choice, Knowledge, Needs


@dataclass(frozen=True)
class First:
    """Always the smallest ids that have no label yet."""

    name: str = "first"
    description: str = "The next unlabelled image in the order of ids"
    needs: Needs = NO_NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        ids = sorted(candidate.image_id for candidate in pool)[:count]
        return [Choice(image_id=image_id, reason="The next one in the order of the list.") for image_id in ids]


STRATEGY = First()
