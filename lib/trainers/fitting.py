"""The optimiser loop: epochs of steps, a validation after each, the best epoch kept, resumable, cancellable."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CancelledError, InvalidInputError, OutOfMemoryError
from ..models.metrics import mean_of_defined
from ..task import TaskSpec, TrainerOptions
from .augmentation import augment
from .checkpoint import Checkpoint, copy_state, load_checkpoint, optimiser_tensors, restore_optimiser
from .loss import PartialDiceCELoss
from .patches import Batch, PatchSampler

_log = logging.getLogger(__name__)

_WARM_UP_SHARE = 0.05
_LAST_RATE_SHARE = 0.01
_LARGEST_GRADIENT_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: From 1.
        loss: Mean over its steps.
        dice: Mean validation Dice over labels; None where no label is defined.
        per_label: Validation Dice per label, None where undefined.
        seconds: Including validation.
    """

    number: int
    loss: float
    dice: float | None
    per_label: Mapping[str, float | None]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The outcome of `Fitting.run`."""

    best_epoch: int
    best_state: Mapping[str, Tensor]
    history: tuple[Epoch, ...]


@dataclass(kw_only=True)
class _Standing:
    """What changes from epoch to epoch."""

    batch_size: int
    best_state: Mapping[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[Epoch] = field(default_factory=list)


@dataclass(kw_only=True)
class Fitting:
    """One run of the optimiser.

    Attributes:
        network: Trained in place, on `device`.
        spec: The task.
        options: Steps, rates, patience, seed.
        sampler: Where patches come from.
        loss: On `device`.
        validate: Network → label → Dice (nan where undefined).
        device: CPU or CUDA; on CUDA in bfloat16 where the GPU has it, else float16 with loss scaling.
        checkpoint: File to resume from and to write after each epoch.
        identity: See `Checkpoint.identity`.
        on_epoch: Told after each epoch.
        progress: Told after each step.
        cancelled: Asked before each step.
    """

    network: nn.Module
    spec: TaskSpec
    options: TrainerOptions
    sampler: PatchSampler
    loss: PartialDiceCELoss
    validate: Callable[[nn.Module], Mapping[str, float]]
    device: torch.device
    checkpoint: Path
    identity: str
    on_epoch: Callable[[Epoch], None]
    progress: Callable[[float, str], None]
    cancelled: Callable[[], bool]

    def run(self) -> Fitted:
        """Train until the last epoch, or until the validation has not improved for `patience_epochs`.

        Every epoch seeds its own random numbers, so a resumed training equals an uninterrupted one.

        Raises:
            CancelledError: If `cancelled` answers true; the last epoch's checkpoint stays.
            InvalidInputError: If the loss stops being finite.
            OutOfMemoryError: If half a batch does not fit either.
        """
        options = self.options
        # The layout the sliding window uses as well, so that validations do not change it back and forth.
        self._layout = torch.channels_last if self.spec.dimension == 2 else torch.channels_last_3d
        self.network.to(memory_format=self._layout)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self._half, scaling = _precision(self.device)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scaling)
        standing = self._resume()
        while not self._ended(standing):
            self._one_epoch(standing)
        return Fitted(best_epoch=standing.best_epoch, best_state=standing.best_state, history=tuple(standing.history))

    def _ended(self, standing: _Standing) -> bool:
        done = len(standing.history)
        return done >= self.options.max_epochs or done - standing.best_epoch >= self.options.patience_epochs > 0

    def _one_epoch(self, standing: _Standing) -> None:
        started = time.monotonic()
        number = len(standing.history) + 1
        with _seeded(self.options.seed, number) as (random, generator):
            losses = [self._step(standing, number, step, random, generator) for step in range(self._steps)]
        self.network.eval()
        per_label = self.validate(self.network)
        dice = mean_of_defined(list(per_label.values()))
        loss = math.fsum(losses) / len(losses)
        epoch = Epoch(
            number=number,
            loss=loss,
            dice=None if math.isnan(dice) else dice,
            per_label={name: None if math.isnan(value) else value for name, value in per_label.items()},
            seconds=time.monotonic() - started,
        )
        standing.history.append(epoch)
        score = -loss if math.isnan(dice) else dice
        if score > standing.best_score:
            standing.best_score, standing.best_epoch = score, number
            standing.best_state = copy_state(self.network)
        self._save(standing)
        self.on_epoch(epoch)

    @property
    def _steps(self) -> int:
        return self.options.steps_per_epoch

    def _step(
        self, standing: _Standing, number: int, step: int, random: np.random.Generator, generator: torch.Generator
    ) -> float:
        if self.cancelled():
            raise CancelledError("The training was cancelled.")
        done = (number - 1) * self._steps + step
        total = self.options.max_epochs * self._steps
        self._optimiser.param_groups[0]["lr"] = self.options.learning_rate * rate_share(done, total)
        self.network.train()
        batch = self.sampler.draw(standing.batch_size, random=random)
        try:
            value = self._descend(batch, generator)
        except torch.OutOfMemoryError as error:
            if standing.batch_size < 2 or standing.batch_size < self.options.batch_size:
                raise OutOfMemoryError(
                    f"A training step must fit into the device's memory, got none left with batch_size "
                    f"{standing.batch_size}. Set a smaller patch_voxels than {self.options.patch_voxels}."
                ) from error
            standing.batch_size //= 2
            _log.warning("Out of memory: going on with batch_size %d.", standing.batch_size)
            value = None
        if value is None:  # outside the handler, which would keep the failed step's tensors alive
            return self._step(standing, number, step, random, generator)
        if not math.isfinite(value):
            raise InvalidInputError(
                f"The loss must stay finite, got {value} in epoch {number}, step {step + 1}. Lower learning_rate "
                f"(now {self.options.learning_rate:g}), or check the images for values that are not numbers."
            )
        dice = standing.history[-1].dice if standing.history else None
        quality = f", validation Dice {dice:.3f}" if dice is not None else ""
        text = f"epoch {number} of at most {self.options.max_epochs}: loss {value:.3f}{quality}"
        self.progress((done + 1) / total, text)
        return value

    def _descend(self, batch: Batch, generator: torch.Generator) -> float:
        """One optimiser step; returns the loss."""
        image, label = batch.image.to(self.device), batch.label.to(self.device)
        image, label = augment(image, label, spec=self.spec, random=generator, strength=self.options.augmentation)
        if self.spec.dimension == 2:
            image, label = image[..., 0], label[..., 0]
        self._optimiser.zero_grad(set_to_none=True)
        image = image.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, dtype=self._half, enabled=self._half is not None):
            logits = self.network(image)
        loss: Tensor = self.loss(logits, label, batch.annotated.to(self.device))
        value = float(loss.detach())
        if math.isfinite(value):
            self._scaler.scale(loss).backward()
            self._scaler.unscale_(self._optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT_NORM)
            self._scaler.step(self._optimiser)
            self._scaler.update()
        return value

    def _save(self, standing: _Standing) -> None:
        state = {
            "batch_size": standing.batch_size,
            "best_epoch": standing.best_epoch,
            "best_score": standing.best_score,
            "history": [asdict(epoch) for epoch in standing.history],
            "scaler": self._scaler.state_dict(),
        }
        Checkpoint(
            identity=self.identity,
            state=state,
            network=self.network.state_dict(),
            best=standing.best_state,
            optimiser=optimiser_tensors(self._optimiser),
        ).save(self.checkpoint)

    def _resume(self) -> _Standing:
        found = load_checkpoint(self.checkpoint, identity=self.identity)
        if found is None:
            return _Standing(batch_size=self.options.batch_size)
        self.network.load_state_dict(found.network)
        restore_optimiser(self._optimiser, found.optimiser)
        self._scaler.load_state_dict(found.state["scaler"])
        history = [Epoch(**row) for row in found.state["history"]]
        _log.info("Training resumed after epoch %d.", len(history))
        return _Standing(
            batch_size=found.state["batch_size"],
            best_state=found.best,
            best_epoch=found.state["best_epoch"],
            best_score=found.state["best_score"],
            history=history,
        )


def rate_share(step: int, total: int) -> float:
    """Share of the peak learning rate at a step: a short linear rise, then half a cosine down to a hundredth."""
    rise = max(1, round(total * _WARM_UP_SHARE))
    if step < rise:
        return (step + 1) / rise
    way = (step - rise) / max(1, total - rise)
    return _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 + math.cos(math.pi * way)) / 2


@contextlib.contextmanager
def _seeded(seed: int, epoch: int) -> Iterator[tuple[np.random.Generator, torch.Generator]]:
    """Random numbers of one epoch; torch's global ones (dropout) are put back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        yield np.random.default_rng([seed, epoch]), generator


def _precision(device: torch.device) -> tuple[torch.dtype | None, bool]:
    """Autocast type and whether the loss must be scaled."""
    if device.type != "cuda":
        return None, False
    if torch.cuda.is_bf16_supported():
        return torch.bfloat16, False
    return torch.float16, True
