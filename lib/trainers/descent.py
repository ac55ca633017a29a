"""One optimiser step after another, on all of a batch or on this process's part of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.devices import memory_layout, short_numbers, short_type
from ..task import TaskSpec, TrainerOptions
from .augmentation import augment
from .checkpoint import optimiser_tensors, restore_optimiser
from .clicks import click_on_errors
from .lesson import Change, Sampler
from .loss import PartialLoss
from .patches import Batch
from .peers import ALONE, Peers
from .standing import Randomness

_WARM_UP_SHARE = 0.05
_LAST_RATE_SHARE = 0.01
_LARGEST_GRADIENT_NORM = 1.0


@dataclass(kw_only=True)
class Descent:
    """The optimiser of one training, in one of its processes.

    Attributes:
        network: Trained in place, on `device`.
        spec: The task.
        options: Steps and rates.
        sampler: Where batches come from.
        loss: On `device`.
        device: CPU or CUDA; in 16 bits where that is faster (`devices.short_type`), float16 with loss scaling.
        change: How batches are changed at random.
        peers: Who works on the rest of each batch.
    """

    network: nn.Module
    spec: TaskSpec
    options: TrainerOptions
    sampler: Sampler
    loss: PartialLoss
    device: torch.device
    change: Change = augment
    peers: Peers = ALONE

    def __post_init__(self) -> None:
        # The layout the sliding window uses as well, so that validations do not change it back and forth.
        self._layout = memory_layout(self.spec.dimension)
        self.network.to(memory_format=self._layout)
        self._shared = self.network
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.options.learning_rate, weight_decay=self.options.weight_decay
        )
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=short_type(self.device, training=True) == torch.float16
        )

    def begin(self) -> None:
        """Take over the leader's weights, once they are those of the first step; before any step."""
        self._shared = self.peers.share(self.network)

    def step(self, batch_size: int, *, done: int, random: Randomness) -> float:
        """One step; returns the loss of the whole batch.

        Args:
            batch_size: Of the whole batch.
            done: Steps before this one, of all epochs.
            random: Chooses patches and what is done to them.
        """
        rate = self.options.learning_rate * rate_share(done, self.options.max_epochs * self.options.steps_per_epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        batch = self.sampler.draw(batch_size, random=random.patches, part=self.peers.part(batch_size))
        return self._descend(batch, random.changes)

    def state(self) -> dict[str, Any]:
        """Optimiser and loss scale: `tensors` and JSON-able `scaler`."""
        return {"tensors": optimiser_tensors(self._optimiser), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        restore_optimiser(self._optimiser, state["tensors"])
        self._scaler.load_state_dict(state["scaler"])

    def _descend(self, batch: Batch, generator: torch.Generator) -> float:
        image, label = batch.image.to(self.device), batch.label.to(self.device)
        image, label = self.change(image, label, spec=self.spec, random=generator, strength=self.options.augmentation)
        if self.spec.dimension == 2:
            image, label = image[..., 0], label if self.spec.of_whole_images else label[..., 0]
        self._optimiser.zero_grad(set_to_none=True)
        if self.spec.in_channels > 1:
            image = click_on_errors(self.network, image, label, batch.annotated, random=generator)
        image = image.contiguous(memory_format=self._layout)
        with short_numbers(self.device, training=True):
            logits = self._shared(image)
        loss: Tensor = self.loss(logits, label, batch.annotated.to(self.device), total=self.peers.total)
        value = float(loss.detach())
        if math.isfinite(value):
            self._scaler.scale(loss).backward()
            self._scaler.unscale_(self._optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT_NORM)
            self._scaler.step(self._optimiser)
            self._scaler.update()
        return value


def rate_share(step: int, total: int) -> float:
    """Share of the peak learning rate at a step: a short linear rise, then half a cosine down to a hundredth."""
    rise = max(1, round(total * _WARM_UP_SHARE))
    if step < rise:
        return (step + 1) / rise
    way = (step - rise) / max(1, total - rise)
    return _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 + math.cos(math.pi * way)) / 2
