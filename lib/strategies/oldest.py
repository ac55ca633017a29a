"""The images whose draft waits longest for a person: nothing is forgotten in a long list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .port import NO_NEEDS, NOTHING, Candidate, Choice, Knowledge, Needs


@dataclass(frozen=True)
class Oldest:
    """Drafts nobody has looked at, the oldest first; then images without a draft, in the order of ids."""

    name: str = "oldest"
    description: str = "The image whose draft has been waiting longest"
    needs: Needs = NO_NEEDS

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        ordered = sorted(pool, key=lambda one: (not one.waiting_since, one.waiting_since, one.image_id))
        return [
            Choice(
                image_id=candidate.image_id,
                weight=max(0.0, now - candidate.waiting_since) if candidate.waiting_since else 0.0,
                reason=_reason(candidate),
            )
            for candidate in ordered[:count]
        ]


def _reason(candidate: Candidate) -> str:
    if not candidate.waiting_since:
        return "No draft waits longer; the next one in the order of the list."
    since = datetime.fromtimestamp(candidate.waiting_since, tz=UTC)
    return f"Its draft has been waiting since {since:%Y-%m-%d}."


STRATEGY = Oldest()
