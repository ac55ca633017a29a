"""Whether an earlier version or random weights are the better start: both are tried for a short while and compared.

A trial is the beginning of the training it stands for, with the same schedule, patches and random numbers. So nothing
of the better one is lost: it is gone on with, and ends exactly as if the training had been told to start there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..models.files import write_json
from .standing import Epoch
from .warm_start import NOTHING

_log = logging.getLogger(__name__)

DECISION_NAME = "start.json"
_EARLIER, _RANDOM = "earlier", "random"

Beginning = Callable[[Path], Sequence[Epoch]]
"""Trains for some epochs with the checkpoint in a file, or goes on from there; every epoch done so far."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a training started from, where both were to be tried.

    Attributes:
        chosen: A version, or `nothing`.
        reason: Why, in words.
        epochs: Of each trial; 0 where none was needed.
        metric: By which they were compared.
        scores: What was tried → its best mean over labels on the validation cases; None where undefined.
    """

    chosen: str
    reason: str
    epochs: int = 0
    metric: str = ""
    scores: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the version's record, and for programs."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One version against random weights.

    Attributes:
        version: Its name.
        epochs: Of each of both.
        metric: What validations measure, for people.
        checkpoint: Where the training stands once this is decided. The trials' checkpoints and the decision lie beside
            it.
        identity: Of both trainings; what another trial decided is not taken over.
    """

    version: str
    epochs: int
    metric: str
    checkpoint: Path
    identity: str

    def run(self, earlier: Beginning, random: Beginning, *, on_epoch: Callable[[Epoch], None]) -> Start:
        """Try both, unless that is decided; the better one's checkpoint becomes the training's.

        Args:
            earlier: Begins from the version.
            random: Begins from random weights.
            on_epoch: Told of the better one's epochs.
        """
        start = self._decided()
        if start is None:
            history = {
                self.version: earlier(self._checkpoint_of(self.version))[: self.epochs],
                NOTHING: random(self._checkpoint_of(NOTHING))[: self.epochs],
            }
            start = _said(better(self.version, history, metric=self.metric, epochs=self.epochs))
            for epoch in history[start.chosen]:
                on_epoch(epoch)
            write_json(decision_file(self.checkpoint), {"identity": self.identity, **start.to_json()})
        if (found := self._checkpoint_of(start.chosen)).exists():
            found.replace(self.checkpoint)
        for name in (self.version, NOTHING):
            self._checkpoint_of(name).unlink(missing_ok=True)
        return start

    def _checkpoint_of(self, name: str) -> Path:
        which = _RANDOM if name == NOTHING else _EARLIER
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-{which}{self.checkpoint.suffix}")

    def _decided(self) -> Start | None:
        try:
            content = json.loads(decision_file(self.checkpoint).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return Start(**content) if content.pop("identity", None) == self.identity else None


def better(version: str, history: Mapping[str, Sequence[Epoch]], *, metric: str, epochs: int) -> Start:
    """Which start validated better; the earlier version where there is no telling, for it knows what it knows.

    Args:
        version: Name of the earlier one.
        history: Its epochs by that name, and those from `nothing`.
        metric: What they measure.
        epochs: Of each trial.
    """
    scores = {
        name: max((one.dice for one in rows if one.dice is not None), default=None) for name, rows in history.items()
    }
    known, new = scores[version], scores[NOTHING]
    chosen = NOTHING if new is not None and (known is None or new > known) else version
    told = {name: "none" if score is None else f"{score:.3f}" for name, score in scores.items()}
    within = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    reason = f"validation {metric} {told[version]} from {version} and {told[NOTHING]} from {NOTHING} within {within}"
    return Start(chosen=chosen, reason=reason, epochs=epochs, metric=metric, scores=scores)


def untried(chosen: str, *, because: str) -> Start:
    """A start without a trial, said in the log as one with a trial is."""
    return _said(Start(chosen=chosen, reason=because))


def _said(start: Start) -> Start:
    _log.info("The training starts from %s: %s.", start.chosen, start.reason)
    return start


def decision_file(checkpoint: Path) -> Path:
    """Where a decision is kept, by the checkpoint of the training."""
    return checkpoint.with_name(DECISION_NAME)
