"""U-Net in nnU-Net's shape (Isensee et al., doi:10.1038/s41592-020-01008-z), from MONAI, with group normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_FILTERS = (16, 32, 64, 128)


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.dynunet import DynUNet

    filters = tuple(spec.network.arguments.get("filters", _FILTERS))
    arguments = {
        "filters": filters,
        "kernel_size": (3,) * len(filters),
        "strides": (1, *(2,) * (len(filters) - 1)),
        "upsample_kernel_size": (2,) * (len(filters) - 1),
        # nnU-Net's instance normalisation has no statistics where the bottleneck is a single voxel.
        "norm_name": ("GROUP", {"num_groups": 8, "affine": True}),
        **{name: value for name, value in spec.network.arguments.items() if name != "filters"},
    }
    return DynUNet(
        spatial_dims=spec.dimension, in_channels=spec.in_channels, out_channels=spec.out_channels, **arguments
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** (len(spec.network.arguments.get("filters", _FILTERS)) - 1))


NETWORK = NetworkFactory(
    "unet", build=_build, size_multiple=_size_multiple, features=lambda network: network.get_submodule("bottleneck")
)
