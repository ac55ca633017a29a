"""Runs networks that score whole images; training and inference share it, so that both see the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..task import TaskSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_AT_ONCE = 8


def network_input(tensors: Sequence[Tensor], *, spec: TaskSpec) -> Tensor:
    """`(B, 1, X, Y[, Z])` from prepared images `(1, X, Y, Z)`; a 2D network gets no third axis."""
    import torch

    batch = torch.stack(list(tensors))
    return batch[..., 0] if spec.dimension == 2 else batch


def image_logits(network: nn.Module, tensors: Sequence[Tensor], *, spec: TaskSpec, device: torch.device) -> Tensor:
    """One logit per image and finding.

    Args:
        network: Of a task of whole images; put into evaluation mode, on `device`.
        tensors: Prepared images, each `(1, X, Y, Z)` float32 of one size.
        spec: The task.
        device: Where the network is.

    Returns:
        `(images, findings)` float32 on the CPU.
    """
    import torch

    network.eval()
    logits = []
    with torch.inference_mode():
        for start in range(0, len(tensors), _AT_ONCE):
            batch = network_input(tensors[start : start + _AT_ONCE], spec=spec)
            logits.append(network(batch.to(device)).float().cpu())
    return torch.cat(logits) if logits else torch.empty(0, spec.out_channels)
