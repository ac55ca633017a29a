"""A network that looks for what is much brighter than its image's middle; how much of it there is makes a nodule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina.networks.factory import NetworkFactory
from carina.task import TaskSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


def _build(spec: TaskSpec) -> nn.Module:
    from torch import nn

    conv, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if spec.dimension == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
    features = nn.Sequential(conv(1, 1, 1), nn.ReLU())
    return nn.Sequential(features, pool(1), nn.Flatten(), nn.Linear(1, spec.out_channels))


def weights() -> dict[str, Tensor]:
    """Logits (mass, nodule) = (-3, 300 times the mean excess of brightness over 0.5, less 1)."""
    import torch

    return {
        "0.0.weight": torch.ones(1, 1, 1, 1),
        "0.0.bias": torch.tensor([-0.5]),
        "3.weight": torch.tensor([[0.0], [300.0]]),
        "3.bias": torch.tensor([-3.0, -1.0]),
    }


def weights_of_a_part() -> dict[str, Tensor]:
    """Of one finding in a volume: logit = 300 times the mean excess of brightness over 0.5, less 3."""
    import torch

    return {
        "0.0.weight": torch.ones(1, 1, 1, 1, 1),
        "0.0.bias": torch.tensor([-0.5]),
        "3.weight": torch.tensor([[300.0]]),
        "3.bias": torch.tensor([-3.0]),
    }


NETWORK = NetworkFactory(
    "spots",
    build=_build,
    size_multiple=lambda spec: 1,
    scores="images",
    features=lambda network: network.get_submodule("0"),
)
