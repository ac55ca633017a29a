"""SegResNet: residual encoder–decoder with group normalisation (Myronenko, arXiv:1810.11654), from MONAI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_BLOCKS_DOWN = (1, 2, 2, 4)


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.segresnet import SegResNet

    arguments = {"blocks_down": _BLOCKS_DOWN, **spec.network.arguments}
    return SegResNet(
        spatial_dims=spec.dimension, in_channels=spec.in_channels, out_channels=spec.out_channels, **arguments
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** (len(spec.network.arguments.get("blocks_down", _BLOCKS_DOWN)) - 1))


def _bottleneck(network: nn.Module) -> nn.Module:
    *_, deepest = network.get_submodule("down_layers").children()
    return deepest


NETWORK = NetworkFactory("segresnet", build=_build, size_multiple=_size_multiple, features=_bottleneck)
