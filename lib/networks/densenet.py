"""DenseNet for findings of whole images (Huang et al., arXiv:1608.06993), from MONAI; DenseNet121 by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn


def densenet(name: str, *, init_features: int, growth_rate: int, block_config: tuple[int, ...]) -> NetworkFactory:
    """A DenseNet of some depth; a task's arguments win over these."""
    usual = {"init_features": init_features, "growth_rate": growth_rate, "block_config": block_config}

    def build(spec: TaskSpec) -> nn.Module:
        from monai.networks.nets.densenet import DenseNet

        return DenseNet(
            spatial_dims=spec.dimension,
            in_channels=spec.in_channels,
            out_channels=spec.out_channels,
            **{**usual, **spec.network.arguments},
        )

    def size_multiple(spec: TaskSpec) -> int:
        return int(2 ** (1 + len(spec.network.arguments.get("block_config", block_config))))

    return NetworkFactory(
        name,
        build=build,
        size_multiple=size_multiple,
        scores="images",
        features=lambda network: network.get_submodule("features"),
    )


NETWORK = densenet("densenet", init_features=64, growth_rate=32, block_config=(6, 12, 24, 16))
