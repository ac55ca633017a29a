"""From windows to scores and from scores to voxel values; what differs between 2D and 3D, exclusive and overlapping."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..networks.asking import outputs_of
from ..networks.devices import memory_layout
from ..task import TaskSpec

Decision = Callable[[Tensor], Tensor]


def scores_of(network: nn.Module, windows: Tensor, *, spec: TaskSpec) -> Tensor:
    """What a network says of some windows.

    Args:
        network: Of the task, on the device of `windows`.
        windows: `(B, 1, x, y, z)`; of a 2D task `z` is 1.
        spec: The task.

    Returns:
        `(B, channels, x, y, z)` logits, of whole images `(B, findings, 1, 1, 1)`; the finest ones of a network with
        deep supervision. Of a symmetric task the mean of what is said of a window and of its mirror, with left and
        right exchanged back.
    """
    if not spec.symmetric:
        return _asked(network, windows, spec=spec)
    straight, mirrored = _asked(network, torch.cat([windows, windows.flip(2)]), spec=spec).chunk(2)
    return (straight + mirrored.flip(2)[:, spec.exchanged_channels]) / 2


def _asked(network: nn.Module, windows: Tensor, *, spec: TaskSpec) -> Tensor:
    flat = spec.dimension == 2
    batch = (windows[..., 0] if flat else windows).contiguous(memory_format=memory_layout(spec.dimension))
    scores = outputs_of(network(batch))[0]
    if spec.of_whole_images:
        return scores[..., None, None, None]
    return scores[..., None] if flat else scores


def decision_of(spec: TaskSpec) -> Decision:
    """How a task's scores `(…, channels)` become voxel values `(…)`, int64, of its labels."""
    return present_bits if spec.labels.overlapping else winning_class


def winning_class(scores: Tensor) -> Tensor:
    """The channel with the highest score; channel 0 is the background."""
    return scores.argmax(dim=-1)


def present_bits(scores: Tensor) -> Tensor:
    """One bit for every channel with a probability above one half, channel 0 the lowest (`LabelSet.values`)."""
    bits = 1 << torch.arange(scores.shape[-1], device=scores.device)
    return ((scores > 0) * bits).sum(dim=-1)
