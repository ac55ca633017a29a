"""A network that looks at one voxel at a time: a hat over lung's densities and a ramp from bone's upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina.networks.factory import NetworkFactory
from carina.task import TaskSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

LUNG_HU, BONE_HU = (-950.0, -500.0), 200.0


def _build(spec: TaskSpec) -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Conv3d(1, 3, 1), nn.ReLU(), nn.Conv3d(3, spec.out_channels, 1))


def weights() -> dict[str, Tensor]:
    """Scores (background, lung, bone) = (0.01, hat, ramp) of the windowed intensity."""
    import torch

    low, high = (_windowed(hu) for hu in LUNG_HU)
    starts = torch.tensor([low, (low + high) / 2, _windowed(BONE_HU)])
    return {
        "0.weight": torch.ones(3, 1, 1, 1, 1),
        "0.bias": -starts,
        "2.weight": torch.tensor([[0.0, 0, 0], [1, -2, 0], [0, 0, 1]]).reshape(3, 3, 1, 1, 1),
        "2.bias": torch.tensor([0.01, 0.0, 0.0]),
    }


def _windowed(hu: float) -> float:
    return (hu + 1000.0) / 700.0 - 1.0


NETWORK = NetworkFactory("densities", build=_build, size_multiple=lambda spec: 1)
