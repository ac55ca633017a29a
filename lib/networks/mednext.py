"""MedNeXt: a U-Net of ConvNeXt blocks (Roy et al., arXiv:2303.09975), from MONAI; its small form by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_SMALL = {
    "init_filters": 32,
    "blocks_down": (2, 2, 2, 2),
    "blocks_up": (2, 2, 2, 2),
    "kernel_size": 3,
    "use_residual_connection": True,
}


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.mednext import MedNeXt

    return MedNeXt(
        spatial_dims=spec.dimension,
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        **{**_SMALL, **spec.network.arguments},
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** len(spec.network.arguments.get("blocks_down", _SMALL["blocks_down"])))


NETWORK = NetworkFactory(
    "mednext", build=_build, size_multiple=_size_multiple, features=lambda network: network.get_submodule("bottleneck")
)
