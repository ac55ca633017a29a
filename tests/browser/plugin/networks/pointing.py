"""A network that answers each click with a ball of its label around it, whatever the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina.networks.factory import NetworkFactory
from carina.task import TaskSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


def _build(spec: TaskSpec) -> nn.Module:
    from torch import nn

    return nn.Conv3d(spec.in_channels, spec.out_channels, 1)


def weights() -> dict[str, Tensor]:
    """Each label's score is its own channel of clicks; the background has a half more."""
    import torch

    image, clicks = torch.zeros(3, 1), torch.eye(3)
    return {
        "network.weight": torch.cat([image, clicks], dim=1)[..., None, None, None],
        "network.bias": torch.tensor([0.5, 0.0, 0.0]),
    }


NETWORK = NetworkFactory("pointing", build=_build, size_multiple=lambda spec: 1)
