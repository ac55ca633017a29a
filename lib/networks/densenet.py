"""DenseNet for findings of whole images (Huang et al., arXiv:1608.06993), from MONAI; DenseNet121 by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_DENSENET121 = {"init_features": 64, "growth_rate": 32, "block_config": (6, 12, 24, 16)}


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.densenet import DenseNet

    return DenseNet(
        spatial_dims=spec.dimension,
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        **{**_DENSENET121, **spec.network.arguments},
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** (1 + len(spec.network.arguments.get("block_config", _DENSENET121["block_config"]))))


NETWORK = NetworkFactory(
    "densenet",
    build=_build,
    size_multiple=_size_multiple,
    scores="images",
    features=lambda network: network.get_submodule("features"),
)
