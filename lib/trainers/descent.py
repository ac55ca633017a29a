"""One optimiser step after another, on all of a batch or on this process's part of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.asking import outputs_of
from ..networks.devices import memory_layout, short_numbers, short_type
from ..networks.short_gradients import right_in_bfloat16
from ..task import TaskSpec, TrainerOptions
from .augmentation import augment
from .checkpoint import optimiser_tensors, restore_optimiser
from .clicks import click_on_errors
from .depths import loss_at_depths
from .layer_rates import parameter_groups
from .lesson import Change, Sampler
from .loss import PartialLoss
from .peers import ALONE, Peers
from .sharpness import Climb
from .standing import Randomness
from .tutoring import Tutor

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
        device: CPU or CUDA; in 16 bits where that is faster (`devices.short_type`), float16 with loss scaling. On a CPU
            a gradient that is not a number is computed again in 32 bits, as all that follow are.
        change: How batches are changed at random.
        peers: Who works on the rest of each batch.
        pool: Where patches without labels come from, if `options.unlabelled_weight` is more than nothing.
    """

    network: nn.Module
    spec: TaskSpec
    options: TrainerOptions
    sampler: Sampler
    loss: PartialLoss
    device: torch.device
    change: Change = augment
    peers: Peers = ALONE
    pool: Sampler | None = None

    def __post_init__(self) -> None:
        # The layout the sliding window uses as well, so that validations do not change it back and forth.
        self._layout = memory_layout(self.spec.dimension)
        self.network.to(memory_format=self._layout)
        self._shared = self.network
        self._short: bool | None = None if self.device.type == "cpu" else True
        self._optimiser = torch.optim.AdamW(
            parameter_groups(self.network, decay=self.options.layer_decay, by_layer=self.options.head_epochs > 0),
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=short_type(self.device) == torch.float16)
        self._tutor: Tutor | None = None
        if self.pool is not None and self.options.unlabelled_weight:
            self._tutor = Tutor(
                self.network, spec=self.spec, options=self.options, sampler=self.pool, device=self.device
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
        head_alone = done < self.options.head_epochs * self.options.steps_per_epoch
        for group in self._optimiser.param_groups:
            group["lr"] = 0.0 if head_alone and not group["head"] else rate * group["share"]
        self.network.train()
        value = self._descend(self._losses(batch_size, done, random))
        if self._tutor is not None:
            self._tutor.follow(done + 1)
        return value

    def state(self) -> dict[str, Any]:
        """Optimiser (`tensors`), weights of the teacher (`teacher`) and JSON-able loss scale (`scaler`)."""
        return {
            "tensors": optimiser_tensors(self._optimiser),
            "teacher": {} if self._tutor is None else self._tutor.state(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        restore_optimiser(self._optimiser, state["tensors"])
        self._scaler.load_state_dict(state["scaler"])
        if self._tutor is not None:
            self._tutor.restore(state["teacher"])

    def _losses(self, batch_size: int, done: int, random: Randomness) -> Callable[[], Tensor]:
        """The loss of the next batch, as often as it is asked for."""
        image, label, annotated = self._drawn(self.sampler, batch_size, random)
        if self.spec.in_channels > 1:
            image = click_on_errors(self.network, image, label, annotated, random=random.changes)
        tutor = self._tutor
        if tutor is None:
            return lambda: self._supervised(self._outputs(image), label, annotated)
        unlabelled, _, _ = self._drawn(tutor.sampler, batch_size, random)
        taught = tutor.teach(unlabelled.contiguous(memory_format=self._layout))
        both = torch.cat([image, tutor.disturb(unlabelled, random=random.changes)])

        def loss() -> Tensor:
            outputs = self._outputs(both)
            own = self._supervised([logits[: len(image)] for logits in outputs], label, annotated)
            return own + tutor.loss(outputs[0][len(image) :], taught, done=done, total=self.peers.total)

        return loss

    def _drawn(self, sampler: Sampler, batch_size: int, random: Randomness) -> tuple[Tensor, Tensor, Tensor]:
        """Image, label and what was annotated of this process's part of a batch, changed at random."""
        batch = sampler.draw(batch_size, random=random.patches, part=self.peers.part(batch_size))
        image, label = batch.image.to(self.device), batch.label.to(self.device)
        image, label = self.change(
            image, label, spec=self.spec, random=random.changes, strength=self.options.augmentation
        )
        if self.spec.dimension == 2:
            image, label = image[..., 0], label if self.spec.of_whole_images else label[..., 0]
        return image, label, batch.annotated.to(self.device)

    def _outputs(self, image: Tensor) -> list[Tensor]:
        image = image.contiguous(memory_format=self._layout)
        if self._short is None:  # every batch has the size of the first
            self._short = short_type(self.device) is not None and right_in_bfloat16(self.network, image)
        with short_numbers(self.device, allowed=self._short):
            return outputs_of(self._shared(image))

    def _supervised(self, outputs: Sequence[Tensor], label: Tensor, annotated: Tensor) -> Tensor:
        return loss_at_depths(self.loss, outputs, label, annotated, total=self.peers.total)

    def _descend(self, loss_of_batch: Callable[[], Tensor]) -> float:
        value = self._gradients(loss_of_batch)
        if not math.isfinite(value):
            return value
        if self.options.sharpness:
            climb = Climb(self.network.parameters(), radius=self.options.sharpness)
            there = self._gradients(loss_of_batch)
            climb.back()
            if not math.isfinite(there):  # 16 bits overflow now and then: without gradients the step is left out
                return value
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT_NORM)
        if self._short and self.device.type == "cpu" and not norm.isfinite():  # the same in every process
            self._short = False
            return self._descend(loss_of_batch)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return value

    def _gradients(self, loss_of_batch: Callable[[], Tensor]) -> float:
        """Gradients of the loss, scaled, in place of those before; none where it is not finite."""
        self._optimiser.zero_grad(set_to_none=True)
        loss = loss_of_batch()
        value = float(loss.detach())
        if math.isfinite(value):
            self._scaler.scale(loss).backward()
        return value


def rate_share(step: int, total: int) -> float:
    """Share of the peak learning rate at a step: a short linear rise, then half a cosine down to a hundredth."""
    rise = max(1, round(total * _WARM_UP_SHARE))
    if step < rise:
        return (step + 1) / rise
    way = (step - rise) / max(1, total - rise)
    return _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 + math.cos(math.pi * way)) / 2
