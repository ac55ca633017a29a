"""SegResNet whose coarser levels can be taught too (deep supervision), from MONAI; `dsdepth` says how many levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_BLOCKS_DOWN = (1, 2, 2, 4)


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.segresnet_ds import SegResNetDS

    # Instances instead of batches: training batches are small, and serving must not depend on their statistics.
    arguments = {"blocks_down": _BLOCKS_DOWN, "norm": "instance", **spec.network.arguments}
    return SegResNetDS(
        spatial_dims=spec.dimension, in_channels=spec.in_channels, out_channels=spec.out_channels, **arguments
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** (len(spec.network.arguments.get("blocks_down", _BLOCKS_DOWN)) - 1))


def _bottleneck(network: nn.Module) -> nn.Module:
    *_, deepest = network.get_submodule("encoder.layers").children()
    return deepest.get_submodule("blocks")


NETWORK = NetworkFactory("segresnet_ds", build=_build, size_multiple=_size_multiple, features=_bottleneck)
