"""Patient-level splits: a patient belongs to one part for ever, and new patients keep the shares.

`assign` is pure; where its answer is kept is behind `SplitStore` (the annotation store on a server, a JSON file for
`carina train`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from filelock import FileLock

from ..errors import ConfigurationError, ConflictError
from ..models.files import write_json

Part = Literal["train", "validation", "holdout"]

_SMALLEST_WITH_HOLDOUT = 3


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """Shares of the patients; the rest trains.

    Raises:
        ConfigurationError: If a share is negative or nothing is left to train on.
    """

    validation: float
    holdout: float

    def __post_init__(self) -> None:
        if min(self.validation, self.holdout) < 0 or self.validation + self.holdout >= 1:
            raise ConfigurationError(
                f"Validation and holdout shares must be at least 0 and sum to less than 1, "
                f"got {self.validation} and {self.holdout}."
            )


class SplitStore(Protocol):
    """Where a task's split is kept; entries are only ever added."""

    def get(self, task: str) -> Mapping[str, Part]:
        """Patient id → part."""
        ...

    def put(self, task: str, added: Mapping[str, Part]) -> None:
        """Add patients; a patient that is there keeps its part (ConflictError if it would change)."""
        ...


def assign(
    patient_ids: Iterable[str], already: Mapping[str, Part], *, fractions: Fractions, seed: int
) -> dict[str, Part]:
    """Give every new patient a part; nobody who has one moves.

    The first patient trains, the second validates, the third is held out; from then on each goes to the part that lacks
    most of its share. A share of 0 keeps its part empty. The order in which ids are given does not matter.

    Args:
        patient_ids: Patients with labels, old and new.
        already: The split so far.
        fractions: Shares aimed at.
        seed: Decides which of several new patients goes where.

    Returns:
        The new patients only → part.
    """
    counts: dict[Part, int] = {"train": 0, "validation": 0, "holdout": 0}
    for part in already.values():
        counts[part] += 1
    added: dict[str, Part] = {}
    for patient in sorted(set(patient_ids) - already.keys(), key=lambda name: shuffled(name, seed)):
        added[patient] = _next_part(counts, fractions)
        counts[added[patient]] += 1
    return added


def parts_of(
    patient_ids: Iterable[str], *, task: str, store: SplitStore, fractions: Fractions, seed: int
) -> dict[str, Part]:
    """The part of each of these patients; new ones are assigned and persisted.

    Two processes may call this at once: what the store has in the end counts.
    """
    wanted = set(patient_ids)
    added = assign(wanted, store.get(task), fractions=fractions, seed=seed)
    if added:
        store.put(task, added)
    known = store.get(task)
    return {patient: known[patient] for patient in sorted(wanted)}


class FileSplitStore:
    """Splits in `<models_dir>/<task>/split.json`, for trainings outside a server.

    Args:
        root: `Settings.models_dir`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, task: str) -> dict[str, Part]:
        """Patient id → part."""
        path = self.root / task / "split.json"
        if not path.is_file():
            return {}
        return cast("dict[str, Part]", json.loads(path.read_text(encoding="utf-8")))

    def put(self, task: str, added: Mapping[str, Part]) -> None:
        """Add patients.

        Raises:
            ConflictError: If one of them is already in another part.
        """
        folder = self.root / task
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".split.lock"):
            known = self.get(task)
            moved = [patient for patient, part in added.items() if known.get(patient, part) != part]
            if moved:
                raise ConflictError(
                    f"A patient must stay in one part of the split of '{task}', got {len(moved)} that would move. "
                    f"Another training has just assigned them: start this one again."
                )
            write_json(folder / "split.json", known | dict(added))


def shuffled(patient: str, seed: int) -> bytes:
    """A key that brings patients into an order by chance, the same everywhere for one seed."""
    return hashlib.sha256(f"{seed}\0{patient}".encode()).digest()


def _next_part(counts: Mapping[Part, int], fractions: Fractions) -> Part:
    """The part that lacks most of its share once one more patient is there."""
    total = sum(counts.values()) + 1
    if not counts["train"]:
        return "train"
    if total >= 2 and not counts["validation"] and fractions.validation > 0:
        return "validation"
    if total >= _SMALLEST_WITH_HOLDOUT and not counts["holdout"] and fractions.holdout > 0:
        return "holdout"
    shares: dict[Part, float] = {
        "train": 1 - fractions.validation - fractions.holdout,
        "validation": fractions.validation,
        "holdout": fractions.holdout,
    }
    return max(shares, key=lambda part: shares[part] * total - counts[part])
