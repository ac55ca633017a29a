"""What a strategy is: it chooses which unlabelled images a person sees next, and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Embedding = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One image of the pool.

    Attributes:
        image_id: Its id in the datastore.
        patient_id: Whose it is; the image id where nobody knows.
        last_offered: Unix time at which this strategy last offered it, 0 if never.
        waiting_since: Unix time since which a draft of it waits for a person, 0 if none does.
        scores: Scoring method → value, 0–1; what was not scored is absent.
        embedding: `(n,)` features of the image, comparable with those of the other candidates; None if not computed.
        presence: Label name → how sure a model is that the image shows it, 0–1; empty if no model looked.
        model_version: Which version looked; values of two versions are never handed over together.
    """

    image_id: str
    patient_id: str = ""
    last_offered: float = 0.0
    waiting_since: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    embedding: Embedding | None = None
    presence: Mapping[str, float] = field(default_factory=dict)
    model_version: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """What there is besides the pool.

    Attributes:
        embeddings: Of images with a label, or in somebody's hands: `(n,)` each, of the candidates' features.
        occurrences: Label name → in how many labelled images it occurs; a label nobody drew yet counts 0.
    """

    embeddings: Sequence[Embedding] = ()
    occurrences: Mapping[str, float] = field(default_factory=dict)


NOTHING = Knowledge()


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a strategy chooses better with, and nobody else has to compute.

    Attributes:
        scores: Scoring methods, the one it likes best first; one of them is enough.
        embedding: Whether it compares images with each other.
        presence: Whether it looks at which structures a model sees.
    """

    scores: tuple[str, ...] = ()
    embedding: bool = False
    presence: bool = False


NO_NEEDS = Needs()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A strategy's answer.

    Attributes:
        image_id: The image to label next.
        weight: How much the strategy wanted it; comparable within one call only.
        reason: Why this one, as a sentence for the person who gets it; names no patient.
    """

    image_id: str
    weight: float = 1.0
    reason: str = ""


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

    @property
    def needs(self) -> Needs:
        """What it chooses better with; it works without any of it."""
        ...

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """Choose from the unlabelled images.

        Args:
            pool: Candidates in any order, on which the answer does not depend.
            count: How many are wanted, 1 or more.
            seed: Decides all that is left to chance: equal arguments give an equal answer.
            now: Unix time.
            knowledge: What else is known.

        Returns:
            `count` different members of the pool, or all of a smaller one; the first is wanted most.
        """
        ...
