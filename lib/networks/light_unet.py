"""Light U-Net: features start at half resolution, for training on a small computer (Çiçek et al., arXiv:1606.06650).

On a CPU nearly all time of a U-Net goes into its few channels at full resolution. Here the first convolution has a
stride of 2 and one transposed convolution brings the scores back, which makes a training step about ten times cheaper.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_DEFAULTS = {
    "channels": (16, 32, 64, 128),
    "strides": (2, 2, 2),
    # Groups instead of batches: training batches are small, and serving must not depend on their statistics.
    "norm": ("GROUP", {"num_groups": 8}),
}


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.unet import UNet

    arguments = {**_DEFAULTS, **spec.network.arguments}
    return UNet(
        spatial_dims=spec.dimension,
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        num_res_units=0,
        **arguments,
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(prod(spec.network.arguments.get("strides", _DEFAULTS["strides"])))


def _bottleneck(network: nn.Module) -> nn.Module:
    """MONAI nests its levels, each in the skip connection of the one above."""
    from monai.networks.layers.simplelayers import SkipConnection

    layer = network.get_submodule("model")
    while (skip := next((part for part in layer.children() if isinstance(part, SkipConnection)), None)) is not None:
        layer = skip.submodule
    return layer


NETWORK = NetworkFactory("light_unet", build=_build, size_multiple=_size_multiple, features=_bottleneck)
