"""The optimiser loop: epochs of steps, a validation after each, the best epoch kept; resumable, cancellable."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CancelledError, InvalidInputError, OutOfMemoryError
from ..models.metrics import mean_of_defined
from ..networks.devices import is_out_of_memory
from ..networks.factory import build_network
from ..task import TaskSpec, TrainerOptions
from .augmentation import augment
from .averaging import WeightAverage
from .checkpoint import Checkpoint, copy_state, load_checkpoint
from .descent import Descent
from .lesson import Change, Sampler, stop_if
from .loss import PartialLoss
from .peers import ALONE, Assignment, Peers
from .standing import Epoch, Randomness, Standing, Step, seeded

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The outcome of `Fitting.run`."""

    best_epoch: int
    best_state: Mapping[str, Tensor]
    history: tuple[Epoch, ...]


@dataclass(kw_only=True)
class Fitting:
    """One run of the optimiser.

    Attributes:
        network: Trained in place, on `device`.
        spec: The task.
        options: Steps, rates, patience, seed.
        sampler: Where batches come from.
        loss: On `device`.
        validate: Network → label → quality, such as Dice (nan where undefined).
        device: CPU or CUDA, see `Descent`.
        checkpoint: File to resume from; written after each epoch, now and then within one, and when cancelled.
        checkpoint_every_s: Seconds of an epoch after which the next step is followed by a checkpoint.
        identity: See `Checkpoint.identity`.
        change: How batches are changed at random.
        metric: What `validate` gives, for people.
        build: Makes such a network in another process.
        peers: Other processes that do a part of each step.
        pool: Where patches without labels come from, see `Descent`.
        until_epoch: To end after, as if the training were interrupted there; None: go on to the end.
        on_step: Told after each step, before `progress`.
        on_epoch: Told after each epoch; again after a resumption if the process died before its checkpoint was there.
        progress: Told after each step.
        cancelled: Asked before each step.
    """

    network: nn.Module
    spec: TaskSpec
    options: TrainerOptions
    sampler: Sampler
    loss: PartialLoss
    validate: Callable[[nn.Module], Mapping[str, float]]
    device: torch.device
    checkpoint: Path
    identity: str
    on_epoch: Callable[[Epoch], None]
    progress: Callable[[float, str], None]
    cancelled: Callable[[], bool]
    checkpoint_every_s: float = 60.0
    change: Change = augment
    metric: str = "Dice"
    build: Callable[[TaskSpec], nn.Module] = build_network
    peers: Peers = ALONE
    pool: Sampler | None = None
    until_epoch: int | None = None
    on_step: Callable[[Step], None] = lambda step: None

    def run(self) -> Fitted:
        """Train until the last epoch, or until the validation has not improved for `patience_epochs`.

        A resumed training equals an uninterrupted one, bit by bit on a CPU: weights, optimiser, losses so far and
        random numbers are in the checkpoint, and the learning rate follows from the number of steps done.

        Raises:
            CancelledError: If `cancelled` answers true; a checkpoint of the very step is left.
            InvalidInputError: If the loss stops being finite.
            OutOfMemoryError: If half a batch does not fit either.
        """
        options = self.options
        self._descent = Descent(
            network=self.network,
            spec=self.spec,
            options=options,
            sampler=self.sampler,
            loss=self.loss,
            device=self.device,
            change=self.change,
            peers=self.peers,
            pool=self.pool,
        )
        self._average = WeightAverage(self.network, decay=options.ema) if options.ema else None
        self._saved_at = time.monotonic()
        standing = self._resume()
        self.peers.brief(lambda: self._assignment(standing))
        self._descent.begin()
        while not self._ended(standing):
            with seeded(self.options.seed, standing.number) as random:
                self._one_epoch(standing, random)
        self.peers.rest()
        return Fitted(best_epoch=standing.best_epoch, best_state=standing.best_state, history=tuple(standing.history))

    def _ended(self, standing: Standing) -> bool:
        done = len(standing.history)
        last = self.options.max_epochs if self.until_epoch is None else min(self.until_epoch, self.options.max_epochs)
        return done >= last or done - standing.best_epoch >= self.options.patience_epochs > 0

    def _one_epoch(self, standing: Standing, random: Randomness) -> None:
        if standing.random is not None:
            random.put_back(*standing.random)
        self._since = time.monotonic() - standing.seconds
        try:
            while len(standing.losses) < self._steps:
                standing.losses.append(self._step(standing, random))
                if time.monotonic() - self._saved_at >= self.checkpoint_every_s:
                    self._save(standing, random)
            measured = self._validated()
        except CancelledError:
            self._save(standing, random)
            _log.info("Stopped in epoch %d after %d steps.", standing.number, len(standing.losses))
            raise
        self._finish_epoch(standing, measured)

    def _validated(self) -> _Measured:
        """The weights' quality, or that of their moving average where it is better."""
        self.network.eval()
        found = _Measured(self.validate(self.network), averaged=False)
        if self._average is None:
            return found
        with self._average.in_place():
            average = _Measured(self.validate(self.network), averaged=True)
        return average if average.mean > found.mean else found

    def _finish_epoch(self, standing: Standing, measured: _Measured) -> None:
        dice = measured.mean
        epoch = Epoch(
            number=standing.number,
            loss=math.fsum(standing.losses) / len(standing.losses),
            dice=None if math.isnan(dice) else dice,
            per_label={name: None if math.isnan(value) else value for name, value in measured.per_label.items()},
            seconds=time.monotonic() - self._since,
            averaged=measured.averaged,
        )
        score = -epoch.loss if epoch.dice is None else epoch.dice
        if score > standing.best_score:
            standing.best_score, standing.best_epoch = score, epoch.number
            with self._average.in_place() if self._average and measured.averaged else contextlib.nullcontext():
                standing.best_state = copy_state(self.network)
        standing.history.append(epoch)
        standing.losses, standing.seconds = [], 0.0
        self.on_epoch(epoch)
        self._save(standing)

    @property
    def _steps(self) -> int:
        return self.options.steps_per_epoch

    def _step(self, standing: Standing, random: Randomness) -> float:
        stop_if(self.cancelled)
        step = len(standing.losses)
        done = len(standing.history) * self._steps + step
        value = self._attempt(standing, random, done)
        if value is None:  # outside the handler, which would keep the failed step's tensors alive
            return self._step(standing, random)
        if not math.isfinite(value):
            raise InvalidInputError(
                f"The loss must stay finite, got {value} in epoch {standing.number}, step {step + 1}. Lower "
                f"learning_rate (now {self.options.learning_rate:g}), or check the images for values that are not "
                f"numbers."
            )
        if self._average is not None:
            self._average.update(done + 1)
        self._tell(standing, step + 1, value)
        return value

    def _attempt(self, standing: Standing, random: Randomness, done: int) -> float | None:
        """The loss of one step; None when memory ran out and the batch was halved, which a process can only alone."""
        try:
            self.peers.lead(standing.number, done)
            return self._descent.step(standing.batch_size, done=done, random=random)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.peers.count > 1 or standing.batch_size < 2 or standing.batch_size < self.options.batch_size:
                raise OutOfMemoryError(
                    f"A training step must fit into the device's memory, got none left with batch_size "
                    f"{standing.batch_size}. Set a smaller patch_voxels than {self.options.patch_voxels}."
                ) from error
        standing.batch_size //= 2
        _log.warning("Out of memory: going on with batch_size %d.", standing.batch_size)
        return None

    def _tell(self, standing: Standing, step: int, loss: float) -> None:
        on_cuda = self.device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self.device) / 2**20 if on_cuda else None
        self.on_step(
            Step(
                epoch=standing.number,
                step=step,
                steps=self._steps,
                loss=loss,
                device=str(self.device),
                device_memory_mib=memory,
            )
        )
        dice = standing.history[-1].dice if standing.history else None
        quality = f", validation {self.metric} {dice:.3f}" if dice is not None else ""
        done = len(standing.history) * self._steps + step
        self.progress(
            done / (self.options.max_epochs * self._steps),
            f"epoch {standing.number} of at most {self.options.max_epochs}: loss {loss:.3f}{quality}",
        )

    def _assignment(self, standing: Standing) -> Assignment:
        """What the helpers work on."""
        loss = copy.deepcopy(self.loss).cpu() if isinstance(self.loss, nn.Module) else self.loss
        state = self._descent.state()
        tensors = {group: {name: one.cpu() for name, one in state[group].items()} for group in ("tensors", "teacher")}
        return Assignment(
            spec=self.spec,
            build=self.build,
            options=self.options,
            sampler=self.sampler,
            pool=self.pool,
            loss=loss,
            change=self.change,
            batch_size=standing.batch_size,
            descent=state | tensors,
            numbers=None if standing.random is None else standing.random[0],
        )

    def _save(self, standing: Standing, random: Randomness | None = None) -> None:
        """Write a checkpoint; `random` within an epoch, whose end needs none."""
        standing.random = None if random is None else (random.numbers(), random.tensors())
        standing.seconds = 0.0 if random is None else time.monotonic() - self._since
        descent = self._descent.state()
        Checkpoint(
            identity=self.identity,
            state=standing.to_json() | {"scaler": descent["scaler"]},
            network=self.network.state_dict(),
            best=standing.best_state,
            average={} if self._average is None else self._average.state(),
            optimiser=descent["tensors"],
            teacher=descent["teacher"],
            random={} if standing.random is None else standing.random[1],
        ).save(self.checkpoint)
        self._saved_at = time.monotonic()

    def _resume(self) -> Standing:
        found = load_checkpoint(self.checkpoint, identity=self.identity)
        if found is None:
            return Standing(batch_size=self.options.batch_size)
        self.network.load_state_dict(found.network)
        if self._average is not None:
            self._average.restore(found.average)
        self._descent.restore({"tensors": found.optimiser, "teacher": found.teacher, "scaler": found.state["scaler"]})
        standing = Standing.from_json(found.state, best=found.best, random=found.random)
        _log.info("Training resumed in epoch %d after %d steps.", standing.number, len(standing.losses))
        return standing


class _Measured:
    """What a validation gave: label → quality, and its mean (nan where nothing is defined)."""

    def __init__(self, per_label: Mapping[str, float], *, averaged: bool) -> None:
        self.per_label = per_label
        self.averaged = averaged
        self.mean = mean_of_defined(list(per_label.values()))
