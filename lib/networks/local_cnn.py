"""Local CNN: scores every place of an image, then pools softly towards the highest, for findings that are small.

The mean over an image, as in DenseNet, drowns a finding of two features among a hundred others. Log-sum-exp (Pinheiro &
Collobert, CVPR 2015; for radiographs Wang et al., CVPR 2017) lets the few speak, and the gradient says which they were.

Features are normalised over the batch. Normalised within each image, the highest place of one without a finding would
stand out as much as that of one with it, and nothing would be learnt.
"""

from __future__ import annotations

from math import log, prod
from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import Tensor, nn

_FILTERS = (16, 32, 64, 96)
_SHARPNESS = 5.0


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.blocks.dynunet_block import UnetResBlock
    from torch import nn

    filters = tuple(spec.network.arguments.get("filters", _FILTERS))
    channels = (spec.in_channels, *filters)
    blocks = [
        UnetResBlock(spec.dimension, before, after, kernel_size=3, stride=2, norm_name="BATCH")
        for before, after in zip(channels, filters, strict=False)
    ]
    convolution = nn.Conv2d if spec.dimension == 2 else nn.Conv3d

    class LocalCNN(nn.Module):
        """Features, a score per place and finding, and their soft maximum."""

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*blocks)
            self.scores = convolution(filters[-1], spec.out_channels, kernel_size=1)

        def forward(self, image: Tensor) -> Tensor:
            """`(B, findings)` logits."""
            scores: Tensor = self.scores(self.features(image))
            places = prod(scores.shape[2:])
            pooled = (scores.float().flatten(2) * _SHARPNESS).logsumexp(dim=2) - log(places)
            return pooled / _SHARPNESS

    return LocalCNN()


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** len(spec.network.arguments.get("filters", _FILTERS)))


NETWORK = NetworkFactory(
    "local_cnn",
    build=_build,
    size_multiple=_size_multiple,
    scores="images",
    features=lambda network: network.get_submodule("features"),
    first_place=0.0,
)
