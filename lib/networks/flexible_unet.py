"""U-Net with an EfficientNet or ResNet as its encoder, from MONAI (FlexibleUNet); EfficientNet-B0, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_BACKBONE = "efficientnet-b0"
_STRIDE = 32
# Of an EfficientNet, behind the last map that the decoder sees: processes that share a batch would wait for gradients.
_UNSEEN = ("_conv_head", "_bn1", "_fc")


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.flexible_unet import FlexibleUNet

    arguments = {"backbone": _BACKBONE, **spec.network.arguments}
    network = FlexibleUNet(
        spatial_dims=spec.dimension,
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        pretrained=False,
        **arguments,
    )
    for name, part in network.encoder.named_children():
        if name in _UNSEEN:
            part.requires_grad_(False)
    return network


def _size_multiple(spec: TaskSpec) -> int:
    return _STRIDE


def _deepest(network: nn.Module) -> nn.Module:
    """The last layer of the encoder that the decoder sees."""
    encoder = network.get_submodule("encoder")
    stages = dict(encoder.named_children())
    return stages["layer4"] if "layer4" in stages else list(stages["_blocks"].children())[-1]


NETWORK = NetworkFactory("flexible_unet", build=_build, size_multiple=_size_multiple, features=_deepest)
