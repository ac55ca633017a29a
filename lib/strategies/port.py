"""What a strategy is: it chooses which unlabelled image a person sees next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One image of the pool.

    Attributes:
        image_id: Its id in the datastore.
        patient_id: Whose it is; the image id where nobody knows.
        last_offered: Unix time at which this strategy last offered it, 0 if never.
    """

    image_id: str
    patient_id: str = ""
    last_offered: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A strategy's answer.

    Attributes:
        image_id: The image to label next.
        weight: How much the strategy wanted it; comparable within one call only.
    """

    image_id: str
    weight: float = 1.0
    details: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Strategy(Protocol):
    """One module of `lib/strategies` defines `STRATEGY`, an object of this form."""

    @property
    def name(self) -> str:
        """What clients ask for."""
        ...

    @property
    def description(self) -> str:
        """One sentence for a person choosing a strategy."""
        ...

    def choose(self, pool: Sequence[Candidate], *, now: float) -> Choice | None:
        """Choose from the unlabelled images.

        Args:
            pool: Candidates in any order; the answer must not depend on it except by chance.
            now: Unix time.

        Returns:
            A member of the pool, or None if the pool is empty.
        """
        ...
