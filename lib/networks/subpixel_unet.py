"""U-Net on 2×2 blocks of pixels as channels: full detail at the price of half the resolution, for a small computer.

Blocks go into channels before the network and scores come back out of channels behind it (Shi et al.,
arXiv:1609.05158). Nearly all time of a U-Net goes into its few channels at full resolution, which are saved here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_BLOCK = 2
_FILTERS = (16, 32, 64, 128)


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.blocks.downsample import SubpixelDownsample
    from monai.networks.blocks.upsample import SubpixelUpsample
    from monai.networks.nets.dynunet import DynUNet
    from torch import nn

    filters = tuple(spec.network.arguments.get("filters", _FILTERS))
    pixels = _BLOCK**spec.dimension
    inner = DynUNet(
        spatial_dims=spec.dimension,
        in_channels=pixels,
        out_channels=pixels * spec.out_channels,
        filters=filters,
        kernel_size=(3,) * len(filters),
        strides=(1, *(2,) * (len(filters) - 1)),
        upsample_kernel_size=(2,) * (len(filters) - 1),
        norm_name=("GROUP", {"num_groups": 8, "affine": True}),
    )
    to_channels = SubpixelDownsample(spec.dimension, 1, scale_factor=_BLOCK, conv_block=nn.Identity())
    to_pixels = SubpixelUpsample(
        spec.dimension, None, spec.out_channels, scale_factor=_BLOCK, conv_block=nn.Identity(), apply_pad_pool=False
    )
    return nn.Sequential(to_channels, inner, to_pixels)


def _size_multiple(spec: TaskSpec) -> int:
    return int(_BLOCK ** len(spec.network.arguments.get("filters", _FILTERS)))


NETWORK = NetworkFactory(
    "subpixel_unet",
    build=_build,
    size_multiple=_size_multiple,
    features=lambda network: network.get_submodule("1.bottleneck"),
)
