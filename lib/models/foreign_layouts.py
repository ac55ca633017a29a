"""Weights of other projects brought into the shape of carina's networks: names of parameters, axes and scale.

- `torchxrayvision`: its DenseNet121 (Cohen et al., arXiv:2111.00595). Names are torchvision's, the input is the page
  (rows, columns) in [-1024, 1024].
- `medicalnet`: MedicalNet's 3D ResNets (Chen et al., arXiv:1904.00625). The input is (z, y, x), and there is no layer
  that judges.

carina's networks see (x, y[, z]) in [-1, 1], RAS-closest, so that a page is seen from its lower right corner. Kernels
are turned instead of images, and so maps of features stay in carina's axes. A convolution of stride 2 then meets the
other pixel of each pair, which moves the image by three pixels of 224 for the DenseNet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..task import Layout

if TYPE_CHECKING:
    from torch import Tensor, nn

_DENSE_LAYER = re.compile(r"(denselayer\d+)\.")
_FIRST, _THRESHOLDS = "features.conv0.weight", "op_threshs"
_SCALE = 1024.0
_PAGE, _VOLUME = 4, 5
"""Axes of a kernel: output, input, and two or three of space."""


def adapted(state: Mapping[str, Tensor], layout: Layout, network: nn.Module) -> dict[str, Tensor]:
    """A state dict as the network takes it.

    Args:
        state: As published.
        layout: Whose it is.
        network: With its initial weights, which fill what a `medicalnet` file does not bring: the layer that judges.

    Returns:
        Parameter name → tensor. What does not fit is left as it is, for `weights.check_state` to name.
    """
    return _LAYOUTS[layout](state, network)


def _own(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    return dict(state)


def _torchxrayvision(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    made = {}
    for name, value in state.items():
        if name == _THRESHOLDS:  # where its authors would draw a line; carina calibrates instead
            continue
        ours = _DENSE_LAYER.sub(r"\1.layers.", name).replace("classifier.", "class_layers.out.")
        turned = value.transpose(2, 3).flip(2, 3) if value.ndim == _PAGE else value
        made[ours] = turned * _SCALE if name == _FIRST else turned
    return made


def _medicalnet(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    turned = {name: value.transpose(2, 4) if value.ndim == _VOLUME else value for name, value in state.items()}
    head = {name: value for name, value in network.state_dict().items() if name.startswith("fc.")}
    return {**head, **turned}


_LAYOUTS: Mapping[Layout, Callable[[Mapping[str, Tensor], nn.Module], dict[str, Tensor]]] = MappingProxyType(
    {"carina": _own, "torchxrayvision": _torchxrayvision, "medicalnet": _medicalnet}
)
