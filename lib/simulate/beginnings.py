"""First rounds, each learnt once: strategies that begin with the same images go on from the same network."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..models.files import write_json
from .learner import Learner


class Beginnings:
    """The networks after a first round, by seed and images; any number of processes may use the folder.

    Args:
        folder: Of the simulation.
        seed: Which decides weights, test images and chance.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder / "beginnings"
        self._seed = seed

    def take(
        self, chosen: Sequence[str], learner: Learner, learn: Callable[[], Mapping[str, float]]
    ) -> Mapping[str, float]:
        """Bring the learner to where it is after a first round.

        Args:
            chosen: The images of the round, in their order.
            learner: As it was made.
            learn: Does the round, and returns what was measured after it; called where nobody did it before.

        Returns:
            Label → Dice, as `learn` returned it.
        """
        digest = hashlib.sha256("\0".join(chosen).encode()).hexdigest()[:16]
        weights = self._folder / f"{self._seed}-{digest}.safetensors"
        measured = weights.with_suffix(".json")
        if measured.is_file():
            learner.restore(weights)
            found: dict[str, float] = json.loads(measured.read_text(encoding="utf-8"))
            return found
        dice = learn()
        self._folder.mkdir(parents=True, exist_ok=True)
        incoming = weights.with_suffix(f".{os.getpid()}")
        learner.save(incoming)
        incoming.replace(weights)
        write_json(measured, dict(dice))  # last, so that it always has its weights
        return dice
