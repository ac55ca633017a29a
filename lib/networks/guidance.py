"""Clicks as a network sees them: one channel per label, Gaussians around points (Sakinis et al., arXiv:1903.08205)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..task import TaskSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

_SIGMA_VOXELS = 2.0


def click_maps(
    points: Mapping[int, Sequence[Sequence[float]]], *, shape: Sequence[int], channels: int, device: str = "cpu"
) -> Tensor:
    """Clicks on a grid.

    Args:
        points: Channel → voxel coordinates, fractional ones too; 0 is the background, the others are label indices.
        shape: Of the grid, two or three axes.
        channels: The background and every label.
        device: Where the result is made.

    Returns:
        `(channels, *shape)` float32 in [0, 1]: 1 at a click, falling off within a few voxels; where the Gaussians of
        several clicks meet, the highest counts.
    """
    import torch

    maps = torch.zeros(channels, *shape, device=device)
    for channel, clicked in points.items():
        for point in clicked:
            bump = torch.ones((), device=device)
            for axis, (size, at) in enumerate(zip(shape, point, strict=True)):
                line = torch.exp(-((torch.arange(size, device=device) - at) ** 2) / (2 * _SIGMA_VOXELS**2))
                bump = bump[..., None] * line if axis else line
            maps[channel] = torch.maximum(maps[channel], bump)
    return maps


def click_guided(network: nn.Module, spec: TaskSpec) -> nn.Module:
    """A network of image and clicks that also takes an image alone, as one without clicks.

    Args:
        network: Of `spec.in_channels` input channels.
        spec: The task.
    """
    import torch
    from torch import nn

    class ClickGuided(nn.Module):
        """Fills the channels of clicks up with none."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> Tensor:
            """Scores of `(B, 1, …)` or `(B, in_channels, …)`."""
            missing = spec.in_channels - image.shape[1]
            if missing:
                none = image.new_zeros(image.shape[0], missing, *image.shape[2:])
                image = torch.cat([image, none], dim=1)
            scores: Tensor = self.network(image)
            return scores

    return ClickGuided()
