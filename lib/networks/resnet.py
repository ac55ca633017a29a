"""ResNet for findings of volumes and images (He et al., arXiv:1512.03385), from MONAI, in the shape of MedicalNet's.

MedicalNet's weights (Chen et al., arXiv:1904.00625) fit a task of volumes; they bring no judgement of findings
(`models.foreign_layouts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..task import TaskSpec
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import nn

_DEPTH = 10
_LAYERS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_BOTTLENECKS_FROM = 50
_WIDTHS = (64, 128, 256, 512)
_HALVINGS = 4


def _build(spec: TaskSpec) -> nn.Module:
    from monai.networks.nets.resnet import ResNet

    arguments = dict(spec.network.arguments)
    depth = arguments.pop("depth", _DEPTH)
    if depth not in _LAYERS:
        raise ConfigurationError(f"The depth of a ResNet must be one of {', '.join(map(str, _LAYERS))}, got {depth}.")
    # Shortcuts as MedicalNet has them: without weights of their own at depths 18 and 34, and elsewhere without a bias.
    shape = {
        "block": "bottleneck" if depth >= _BOTTLENECKS_FROM else "basic",
        "layers": list(_LAYERS[depth]),
        "block_inplanes": list(_WIDTHS),
        "shortcut_type": "A" if depth in (18, 34) else "B",
        "bias_downsample": False,
    }
    return ResNet(
        spatial_dims=spec.dimension,
        n_input_channels=spec.in_channels,
        num_classes=spec.out_channels,
        **{**shape, **arguments},
    )


def _size_multiple(spec: TaskSpec) -> int:
    return int(2**_HALVINGS * spec.network.arguments.get("conv1_t_stride", 1))


NETWORK = NetworkFactory(
    "resnet",
    build=_build,
    size_multiple=_size_multiple,
    scores="images",
    features=lambda network: network.get_submodule("layer4"),
    first_place=0.0,
)
