"""EfficientNet for findings of whole images (Tan & Le, arXiv:1905.11946), from MONAI; B0 by default, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_SMALLEST = "efficientnet-b0"
_STRIDE = 32


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.efficientnet import EfficientNetBN

    arguments = {"model_name": _SMALLEST, **spec.network.arguments}
    return EfficientNetBN(
        spatial_dims=spec.dimension,
        in_channels=spec.in_channels,
        num_classes=spec.out_channels,
        pretrained=False,
        **arguments,
    )


def _size_multiple(spec: TaskSpec) -> int:
    return _STRIDE


NETWORK = NetworkFactory(
    "efficientnet",
    build=_build,
    size_multiple=_size_multiple,
    scores="images",
    features=lambda network: network.get_submodule("_bn1"),
)
