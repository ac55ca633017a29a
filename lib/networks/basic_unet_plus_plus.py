"""U-Net++ (Zhou et al., arXiv:1807.10165) on MONAI's blocks, with a head at every depth and pruning by levels.

Its nested U-Nets of depth 1 to 4 each give scores at full resolution. In training each is taught by itself (deep
supervision). The mean of their scores is the answer (the paper's accurate mode). At a lower level only the shallower
ones are computed (the fast mode): a quicker answer from the same weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from ..errors import ConfigurationError
from ..task import TaskSpec
from .asking import holding
from .factory import NetworkFactory

if TYPE_CHECKING:
    from torch import Tensor, nn

_FEATURES = (32, 32, 64, 128, 256, 32)
_DEPTH = 4
_QUICK_LEVEL = 2


def _build(spec: TaskSpec) -> nn.Module:
    import torch
    from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

    arguments = {"features": _FEATURES, "norm": ("group", {"num_groups": 8}), **spec.network.arguments}
    deepest = arguments.pop("level", _DEPTH)
    if deepest not in range(1, _DEPTH + 1):
        raise ConfigurationError(f"The level of a U-Net++ must be a whole number from 1 to {_DEPTH}, got {deepest}.")

    class LevelledUNetPlusPlus(BasicUNetPlusPlus):
        """Computes the nested U-Nets up to `level`."""

        level = deepest

        def forward(self, image: Tensor) -> Tensor | list[Tensor]:
            """Mean scores of the heads, `(B, channels, …)`; in training those of each, of the deepest first."""
            rows: list[list[Tensor]] = [[self.conv_0_0(image)]]
            scores = []
            for depth in range(1, self.level + 1):
                down = getattr(self, f"conv_{depth}_0")
                rows.append([down(rows[depth - 1][0])])
                for row in range(depth - 1, -1, -1):
                    column = depth - row
                    join = getattr(self, f"upcat_{row}_{column}")
                    rows[row].append(join(rows[row + 1][column - 1], torch.cat(rows[row], dim=1)))
                scores.append(getattr(self, f"final_conv_0_{depth}")(rows[0][depth]))
            return scores[::-1] if self.training else torch.stack(scores).mean(dim=0)

    network = LevelledUNetPlusPlus(
        spatial_dims=spec.dimension, in_channels=spec.in_channels, out_channels=spec.out_channels, **arguments
    )
    for depth in range(deepest + 1, _DEPTH + 1):  # what would never learn
        for name in [name for name, _ in network.named_children() if _depth_of(name) == depth]:
            delattr(network, name)
    return cast("nn.Module", network)


def _depth_of(name: str) -> int:
    """The shallowest nested U-Net that a part belongs to: `conv_2_0` to 2, `upcat_1_2` to 3, `final_conv_0_3` to 3."""
    row, column = name.split("_")[-2:]
    return int(row) + int(column)


def _quick(network: nn.Module) -> AbstractContextManager[None]:
    return holding(network, "level", min(_QUICK_LEVEL, cast(int, network.level)))


def _size_multiple(spec: TaskSpec) -> int:
    return int(2 ** spec.network.arguments.get("level", _DEPTH))


def _bottleneck(network: nn.Module) -> nn.Module:
    return network.get_submodule(f"conv_{network.level}_0")


NETWORK = NetworkFactory(
    "basic_unet_plus_plus", build=_build, size_multiple=_size_multiple, features=_bottleneck, quick=_quick
)
