"""Deep supervision: networks that give scores at several resolutions in training are taught at each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .loss import PartialLoss, Total


def loss_at_depths(
    loss: PartialLoss, outputs: Sequence[Tensor], label: Tensor, annotated: Tensor, *, total: Total
) -> Tensor:
    """The mean loss over levels, each of half the weight of the finer one (Isensee et al., Nature Methods 18, 2021).

    Args:
        loss: Of one level.
        outputs: Logits `(B, channels, …)` of each level, the finest first; those of one size count the same.
        label: `(B, 1, …)` of the finest; coarser levels are taught every second of its voxels, every fourth and so on.
        annotated: See `PartialLoss`.
        total: See `PartialLoss`.
    """
    sizes = list(dict.fromkeys(logits.shape for logits in outputs))
    weights = [0.5 ** sizes.index(logits.shape) for logits in outputs]
    losses = [
        weight * loss(logits, _at_size(label, logits), annotated, total=total)
        for weight, logits in zip(weights, outputs, strict=True)
    ]
    return torch.stack(losses).sum() / sum(weights)


def _at_size(label: Tensor, logits: Tensor) -> Tensor:
    size = logits.shape[2:]
    if not size or label.shape[2:] == size:
        return label
    return functional.interpolate(label.float(), size=size, mode="nearest").to(label.dtype)
