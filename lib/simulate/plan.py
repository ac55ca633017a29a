"""What is simulated: frozen, written beside the results, and the same for every process that works on it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConflictError, InvalidInputError
from ..models.files import write_json
from ..strategies import find_strategies
from ..task import TaskSpec, Voxels

FULL = "full"
"""In place of a strategy: the whole pool is labelled, which no strategy can do better than on the whole."""
BASELINE = "random"

_FEWEST_PATIENTS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A simulation.

    Attributes:
        task: Its name.
        images: Folder of images.
        labels: Folder of labels.
        strategies: To be compared; random is always among them.
        seeds: How many times, each with another test set, other first weights and other chances.
        start: Labels of the first round.
        step: Labels that each further round adds.
        rounds: At most so many, while there is something left to label.
        steps: Optimiser steps of each round, on all labels so far, from the weights of the round before.
        first_steps: Of the first round, whose network knows nothing yet; None for `steps`. With too few of them the
            curves show how long was trained rather than what the labels were worth.
        matrix_voxels: Every image is stretched to it; None for the task's own preparation.
        batch_size: Patches of a step; None for the task's.
        learning_rate: Peak of each round; None for the task's.
        test_fraction: Share of the patients whose images are never chosen and measure every round.
        device: As `networks.devices.resolve_device` takes it.
    """

    task: str
    images: str
    labels: str
    strategies: tuple[str, ...]
    seeds: int = 5
    start: int = 4
    step: int = 4
    rounds: int = 10
    steps: int = 60
    first_steps: int | None = None
    matrix_voxels: Voxels | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    test_fraction: float = 0.3
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("seeds", "start", "step", "rounds", "steps"):
            if getattr(self, name) < 1:
                raise InvalidInputError(
                    f"Option '{name}' of a simulation must be 1 or more, got {getattr(self, name)}."
                )
        if not 0 < self.test_fraction < 1:
            raise InvalidInputError(f"The share of test patients must lie between 0 and 1, got {self.test_fraction}.")
        known = find_strategies()
        for name in self.strategies:
            known.get(name)

    @property
    def compared(self) -> tuple[str, ...]:
        """The strategies with the baseline first, each once."""
        return tuple(dict.fromkeys((BASELINE, *self.strategies)))

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Every strategy, and the whole pool, with every seed; seed by seed, so that early results compare."""
        return [(strategy, seed) for seed in range(self.seeds) for strategy in (FULL, *self.compared)]

    def task_spec(self, spec: TaskSpec) -> TaskSpec:
        """The task as it is simulated."""
        options = dataclasses.replace(
            spec.trainer,
            max_epochs=1,
            steps_per_epoch=self.steps,
            batch_size=self.batch_size or spec.trainer.batch_size,
            learning_rate=self.learning_rate or spec.trainer.learning_rate,
            patch_voxels=self.matrix_voxels or spec.trainer.patch_voxels,
        )
        if self.matrix_voxels is None:
            return dataclasses.replace(spec, trainer=options)
        return dataclasses.replace(
            spec,
            trainer=options,
            spacing_mm=None,
            body_threshold=None,
            matrix_voxels=self.matrix_voxels,
            roi_voxels=self.matrix_voxels,
        )

    def steps_of(self, rounds: int) -> int:
        """Optimiser steps of so many rounds together."""
        return (self.first_steps or self.steps) + self.steps * (rounds - 1)

    def rounds_of(self, pool: int) -> int:
        """How many rounds a pool of so many images has."""
        further = max(0, -(-(pool - self.start) // self.step))
        return min(self.rounds, 1 + further)

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return dataclasses.asdict(self)


def keep(plan: Plan, folder: Path) -> None:
    """Write the plan beside its results, or find it there.

    More seeds or strategies than before only add to what is there; anything else would mix results.

    Raises:
        ConflictError: If the folder holds results of another plan.
    """
    path = folder / "plan.json"
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(plan.to_json()))
        differing = sorted(name for name in now if name not in _MAY_GROW and now[name] != before.get(name))
        if differing:
            raise ConflictError(
                f"A simulation must go on as it began, got other values of {', '.join(differing)} than in "
                f"'{folder.name}'. Choose another folder with --out."
            )
    write_json(path, plan.to_json())


_MAY_GROW = frozenset({"strategies", "seeds"})


def split(patients: Iterable[str], *, seed: int, test_fraction: float) -> frozenset[str]:
    """The patients who test, drawn by the seed alone.

    Raises:
        InvalidInputError: If there are fewer than two patients.
    """
    names = sorted(set(patients), key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    if len(names) < _FEWEST_PATIENTS:
        raise InvalidInputError(
            f"A simulation must have images of at least {_FEWEST_PATIENTS} patients, got {len(names)}."
        )
    count = min(len(names) - 1, max(1, round(test_fraction * len(names))))
    return frozenset(names[:count])


def parse_strategies(text: str) -> Sequence[str]:
    """Read `a,b`; `all` for every registered one."""
    return find_strategies().names if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
