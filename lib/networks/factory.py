"""Networks by name: a task names one, this module builds it. Importing it imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..registry import Registry, find
from ..task import TaskSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkFactory:
    """How to build one architecture.

    Attributes:
        name: What `TaskSpec.network.name` says.
        build: Makes the network for a task: one input channel, `spec.out_channels` scores per voxel, same spatial
            shape as the input. Weights are random.
        size_multiple: Every spatial size of the input must be a multiple of this.
    """

    name: str
    build: Callable[[TaskSpec], nn.Module]
    size_multiple: Callable[[TaskSpec], int]


def find_networks() -> Registry[NetworkFactory]:
    """All networks: `lib/networks/*.py` with a `NETWORK`, and the entry-point group `carina.networks`."""
    package = __name__.rpartition(".")[0]
    return find("Network", package=package, constant="NETWORK", item_type=NetworkFactory, group="carina.networks")


def build_network(spec: TaskSpec) -> nn.Module:
    """The network of a task, with random weights.

    Raises:
        UnknownNameError: If no network of that name is registered.
    """
    return find_networks().get(spec.network.name).build(spec)


def size_multiple(spec: TaskSpec) -> int:
    """What every spatial size of the network's input must be a multiple of.

    Raises:
        UnknownNameError: If no network of that name is registered.
    """
    return find_networks().get(spec.network.name).size_multiple(spec)
