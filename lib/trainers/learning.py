"""Learns from prepared cases: from random weights, from an earlier version, or from whichever of both begins better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic

import torch
from torch import nn

from ..models.loading import load_into
from ..models.version import ModelVersion, canonical_sha256
from ..networks.factory import build_network
from ..task import TaskSpec, TrainerOptions
from .fitting import Fitted, Fitting
from .gathering import gathered
from .lesson import C, Cancelled, I, Lesson, Progress
from .peers import Peers
from .sources import Items, Sources
from .standing import Epoch, Step
from .starting import Start, Trial, untried
from .warm_start import NOTHING, known_labels, new_cases, warmed


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What came out.

    Attributes:
        fitted: The best weights, and every epoch.
        parent: The version it started from; None for random weights.
        start: Why it did, where both were to be tried.
    """

    fitted: Fitted
    parent: ModelVersion | None
    start: Start | None


@dataclass(frozen=True, kw_only=True)
class Learning(Generic[C, I]):
    """The part of a training in which weights change.

    Attributes:
        spec: The task.
        options: Of the training.
        lesson: What the kind brings to it.
        sources: The cases.
        items: The same, prepared.
        device: CPU or CUDA.
        checkpoint: See `Fitting`.
        checkpoint_every_s: See `Fitting`.
        on_step: Told after each step.
        on_epoch: Told after each epoch, of trials only those of the better one.
        progress: Told after each step.
        cancelled: Asked between steps.
    """

    spec: TaskSpec
    options: TrainerOptions
    lesson: Lesson[C, I]
    sources: Sources[C]
    items: Items[I]
    device: torch.device
    checkpoint: Path
    checkpoint_every_s: float
    on_step: Callable[[Step], None]
    on_epoch: Callable[[Epoch], None]
    progress: Progress
    cancelled: Cancelled

    def run(self, parent: ModelVersion | None, *, both: bool) -> Learnt:
        """Learn until the last epoch, or until the validation does not improve any more.

        Args:
            parent: The version to start from; None for random weights.
            both: Whether to try random weights as well, and go on with what begins better.

        Raises:
            CancelledError: If `cancelled` answers true; a checkpoint of the very step is left.
            InvalidInputError: If the loss stops being finite.
            OutOfMemoryError: If half a batch does not fit the device.
            PeerError: If one of several processes ends before the training does.
        """
        with gathered(self.options, self.device, cancelled=self.cancelled) as peers:
            start = self._start(parent, peers) if both else None
            if start is not None and start.chosen == NOTHING:
                parent = None
            fitting = self._fitting(parent, peers)
            tried = start.epochs if start is not None else 0
            fitting.progress = self._told(fitting.options, after=tried, of=tried + fitting.options.max_epochs)
            return Learnt(fitted=fitting.run(), parent=parent, start=start)

    def _start(self, parent: ModelVersion | None, peers: Peers) -> Start:
        """What to start from, tried where there is a choice and a way to tell."""
        if parent is None:
            return untried(NOTHING, because="no earlier version fits the task")
        if reason := self._not_to_be_tried(parent):
            return untried(parent.version, because=reason)
        trial = Trial(
            version=parent.version,
            epochs=self._trial_epochs(parent),
            metric=self.lesson.wording.metric,
            checkpoint=self.checkpoint,
            identity=canonical_sha256({"both": [self._identity(one) for one in (parent, None)]}),
        )
        return trial.run(
            partial(self._begin, parent, peers, trial.epochs, 0),
            partial(self._begin, None, peers, trial.epochs, trial.epochs),
            on_epoch=self.on_epoch,
        )

    def _begin(
        self, parent: ModelVersion | None, peers: Peers, epochs: int, after: int, checkpoint: Path
    ) -> Sequence[Epoch]:
        """Train for the first epochs, after so many of another trial."""
        fitting = self._fitting(parent, peers)
        name = parent.version if parent else NOTHING
        told = self._told(fitting.options, after=after, of=epochs + self.options.max_epochs)
        fitting.checkpoint, fitting.until_epoch = checkpoint, epochs
        fitting.on_epoch = lambda epoch: None  # those of the better trial are told once it is known
        fitting.progress = lambda fraction, text: told(fraction, f"trying to start from {name}, {text}")
        return fitting.run().history

    def _told(self, options: TrainerOptions, *, after: int, of: int) -> Progress:
        """The progress of a fitting that begins after so many epochs of others, told as that of all."""
        return lambda fraction, text: self.progress((after + fraction * options.max_epochs) / of, text)

    def _trial_epochs(self, parent: ModelVersion) -> int:
        """The same number for both, which are never more than either training has."""
        share = math.ceil(self.options.trial_share * self.options.max_epochs)
        return min(share, self._options(parent).max_epochs)

    def _not_to_be_tried(self, parent: ModelVersion) -> str:
        """Why random weights are not tried against a version; empty if they are."""
        if not self.items.validation:
            return "there is no validation patient to compare by"
        lost = set(known_labels(parent) or ()) - set(self.sources.trained_labels(self.spec, None))
        return f"no case teaches {', '.join(sorted(lost))}, which {parent.version} knows" if lost else ""

    def _fitting(self, parent: ModelVersion | None, peers: Peers) -> Fitting:
        training = self.items.training
        network = first_network(self.spec, seed=self.options.seed, device=self.device)
        if parent is not None:
            load_into(network, parent, spec=self.spec)
        return Fitting(
            network=network,
            spec=self.spec,
            options=self._options(parent),
            sampler=self.lesson.sampler(training, new_cases(self.sources.train, parent)),
            loss=self.lesson.begin(network, training, known_labels(parent)),
            validate=lambda trained: self.lesson.validate(trained, self.items.compared),
            change=self.lesson.change,
            metric=self.lesson.wording.metric,
            device=self.device,
            checkpoint=self.checkpoint,
            checkpoint_every_s=self.checkpoint_every_s,
            identity=self._identity(parent),
            peers=peers,
            pool=self.lesson.pool_sampler(self.items.pool, training) if self.items.pool else None,
            on_step=self.on_step,
            on_epoch=self.on_epoch,
            progress=self.progress,
            cancelled=self.cancelled,
        )

    def _options(self, parent: ModelVersion | None) -> TrainerOptions:
        """Rates that differ by layer keep what a version knows; random weights know nothing."""
        if parent is None:
            return replace(self.options, layer_decay=1.0, head_epochs=0)
        return warmed(self.options, new=len(new_cases(self.sources.train, parent)), of=len(self.sources.train))

    def _identity(self, parent: ModelVersion | None) -> str:
        decisive: Mapping[str, Any] = {
            "fingerprint": self.spec.fingerprint(),
            "options": asdict(replace(self.options, processes=1)),  # of no account for what comes out
            "parent": parent.sha256 if parent else None,
            **self.sources.listed(),
        }
        return canonical_sha256(decisive)


def first_network(spec: TaskSpec, *, seed: int, device: torch.device) -> nn.Module:
    """The task's network on a device; its weights depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(spec).to(device)
