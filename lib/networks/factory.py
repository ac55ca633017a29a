"""Networks by name: a task names one, this module builds it. Importing it imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..registry import Registry, find
from ..task import TaskSpec
from .guidance import click_guided
from .light_monai import load_monai

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkFactory:
    """How to build one architecture.

    Attributes:
        name: What `TaskSpec.network.name` says.
        build: Makes the network for a task: `spec.in_channels` input channels, `spec.out_channels` scores per voxel,
            same spatial shape as the input. Weights are random.
        size_multiple: Every spatial size of the input must be a multiple of this.
        bottleneck: The layer whose output `(B, features, …)` says most about an image as a whole; None if none does.
    """

    name: str
    build: Callable[[TaskSpec], nn.Module]
    size_multiple: Callable[[TaskSpec], int]
    bottleneck: Callable[[nn.Module], nn.Module] | None = None


def find_networks() -> Registry[NetworkFactory]:
    """All networks: `lib/networks/*.py` with a `NETWORK`, and the entry-point group `carina.networks`."""
    package = __name__.rpartition(".")[0]
    return find("Network", package=package, constant="NETWORK", item_type=NetworkFactory, group="carina.networks")


def build_network(spec: TaskSpec) -> nn.Module:
    """The network of a task, with random weights; one that takes clicks does without them, too.

    Raises:
        InvalidInputError: If the task has no network.
        UnknownNameError: If no network of that name is registered.
    """
    factory = _factory(spec)
    load_monai()
    network = factory.build(spec)
    return network if spec.in_channels == 1 else click_guided(network, spec)


def size_multiple(spec: TaskSpec) -> int:
    """What every spatial size of the network's input must be a multiple of.

    Raises:
        InvalidInputError: If the task has no network.
        UnknownNameError: If no network of that name is registered.
    """
    return _factory(spec).size_multiple(spec)


def bottleneck_of(network: nn.Module, spec: TaskSpec) -> nn.Module | None:
    """The layer of a task's network whose output describes an image as a whole; None where no layer is declared.

    Args:
        network: From `build_network`.
        spec: The task.
    """
    bare: nn.Module = network if spec.in_channels == 1 else network.get_submodule("network")
    find_layer = _factory(spec).bottleneck
    return None if find_layer is None else find_layer(bare)


def require_network(spec: TaskSpec) -> None:
    """Refuse a task that is a tool without a network where one is trained, scored or loaded.

    Raises:
        InvalidInputError: If it has none.
    """
    if not spec.learns:
        raise InvalidInputError(
            f"Task '{spec.name}' must have a network for this, got a tool of kind '{spec.kind}' without one. "
            "It needs no training: use it from a viewer."
        )


def _factory(spec: TaskSpec) -> NetworkFactory:
    require_network(spec)
    return find_networks().get(spec.network.name)
