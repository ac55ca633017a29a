"""Mean teacher: images without labels teach a network to agree with an average of itself, where that is sure."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..networks.devices import short_numbers
from ..task import TaskSpec, TrainerOptions
from .averaging import follow, moving_tensors
from .lesson import Sampler
from .loss import Total

_DECAY = 0.99
_RISE_SHARE = 0.4
_NOISE = 0.1


class Tutor:
    """The teacher of one network (Tarvainen & Valpola, arXiv:1703.01780), whose doubt counts (Yu et al., MICCAI 2019).

    The network sees an image with noise and the teacher without; the network is to say the same. A voxel counts less
    the greater the entropy of what the teacher says, and the more voxels of its label there are in the batch, by the
    square root, as in the loss of labelled images. The term grows over the first part of a training.

    Args:
        network: With its first weights, in the layout in which it is trained.
        spec: Whether labels overlap.
        options: Of the training.
        sampler: Patches of images without labels, as large as those with.
        device: Where both networks are.
    """

    def __init__(
        self, network: nn.Module, *, spec: TaskSpec, options: TrainerOptions, sampler: Sampler, device: torch.device
    ) -> None:
        self.sampler = sampler
        self._network = network
        self._teacher = copy.deepcopy(network).eval().requires_grad_(False)
        self._spec = spec
        self._weight = options.unlabelled_weight
        self._rise = max(1.0, _RISE_SHARE * options.max_epochs * options.steps_per_epoch)
        self._noise = _NOISE * options.augmentation
        self._device = device

    def teach(self, image: Tensor) -> Tensor:
        """What the teacher says: `(B, channels, …)` float32 probabilities of `(B, 1, …)`."""
        with torch.no_grad(), short_numbers(self._device):
            return self._probabilities(self._teacher(image))

    def disturb(self, image: Tensor, *, random: torch.Generator) -> Tensor:
        """What the network is to say the same of."""
        noise = torch.randn(image.shape, generator=random).to(image.device)
        return image + self._noise * noise.contiguous(memory_format=torch.preserve_format)

    def loss(self, logits: Tensor, taught: Tensor, *, done: int, total: Total) -> Tensor:
        """How far the network is from the teacher, weighted.

        Args:
            logits: `(B, channels, …)` of the disturbed images.
            taught: `teach` of them as they were.
            done: Steps before this one.
            total: See `loss.PartialLoss`.

        Returns:
            Scalar float32.
        """
        apart = (self._probabilities(logits) - taught).square().sum(dim=1)
        likeliest = taught.argmax(dim=1)
        if self._spec.labels.overlapping:  # no label anywhere is a class of its own
            likeliest = torch.where(taught.amax(dim=1) > 0.5, likeliest + 1, 0)
        classes = taught.shape[1] + 1
        sure = self._certainty(taught)
        voxels = torch.bincount(likeliest.flatten(), minlength=classes).float()
        weights = total(voxels).clamp(min=1).rsqrt()[likeliest] * sure
        distance, weight = total(torch.stack([(weights * apart).sum(), weights.sum()]))
        return self._weight * _rise(done / self._rise) * distance / weight.clamp(min=1e-6)

    def follow(self, steps: int) -> None:
        """Move the teacher towards the network, after so many steps."""
        follow(self._moving().values(), moving_tensors(self._network).values(), decay=_DECAY, steps=steps)

    def state(self) -> dict[str, Tensor]:
        """Name → weight of the teacher."""
        return self._moving()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state`."""
        own = self._moving()
        for name, value in state.items():
            own[name].copy_(value)

    def _moving(self) -> dict[str, Tensor]:
        return moving_tensors(self._teacher)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid() if self._spec.labels.overlapping else functional.softmax(logits.float(), dim=1)

    def _certainty(self, probabilities: Tensor) -> Tensor:
        """`(B, …)`: 1 where the teacher is sure, 0 where it knows nothing."""
        entropy = torch.special.entr(probabilities)
        if self._spec.labels.overlapping:
            return 1 - (entropy + torch.special.entr(1 - probabilities)).mean(dim=1) / math.log(2)
        return 1 - entropy.sum(dim=1) / math.log(probabilities.shape[1])


def _rise(share: float) -> float:
    """From nearly nothing to 1, as in Tarvainen & Valpola."""
    return math.exp(-5.0 * (1.0 - min(1.0, share)) ** 2)
