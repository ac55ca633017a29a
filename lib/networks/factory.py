"""Networks by name: a task names one, this module builds it. Importing it imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import ConfigurationError, InvalidInputError
from ..registry import Registry, find
from ..task import TaskSpec
from .ensemble import asking_one, averaged, members_of
from .guidance import click_guided
from .light_monai import load_monai
from .short_gradients import normalise_in_full

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkFactory:
    """How to build one architecture.

    Attributes:
        name: What `TaskSpec.network.name` says.
        build: Makes the network for a task: `spec.in_channels` input channels, `spec.out_channels` scores per voxel,
            same spatial shape as the input. Weights are random. In training it may give a list of scores, the finest
            first, for coarser levels that are to be taught too.
        size_multiple: Every spatial size of the input must be a multiple of this.
        scores: `voxels` as above; `images` for a network that gives `(B, spec.out_channels)`, one score per finding.
        features: Finds in the network the layer whose output `(B, features, …)` says most about an image: the
            bottleneck, or the last map before whole images are judged. Embeddings and heat maps come from there. None:
            no layer does.
        first_place: Along every axis the input voxel that the first place of `features` is centred on: 0 where all
            halving is by convolutions of odd size with a stride of 2. None: each place is at the middle of its share of
            the input, as halving by pooling leaves it.
        quick: Within it the network answers from a part of its weights, sooner and less well, for drafts of quality
            `quick`. None: it cannot.
    """

    name: str
    build: Callable[[TaskSpec], nn.Module]
    size_multiple: Callable[[TaskSpec], int]
    scores: Literal["voxels", "images"] = "voxels"
    features: Callable[[nn.Module], nn.Module] | None = None
    first_place: float | None = None
    quick: Callable[[nn.Module], AbstractContextManager[None]] | None = None


def find_networks() -> Registry[NetworkFactory]:
    """All networks: `lib/networks/*.py` with a `NETWORK`, and the entry-point group `carina.networks`."""
    package = __name__.rpartition(".")[0]
    return find("Network", package=package, constant="NETWORK", item_type=NetworkFactory, group="carina.networks")


def build_network(spec: TaskSpec) -> nn.Module:
    """The network of a task, with random weights; one that takes clicks does without them, too.

    Raises:
        InvalidInputError: If the task has no network.
        UnknownNameError: If no network of that name is registered.
        ConfigurationError: If the network is for another sort of task.
    """
    factory = _factory(spec)
    load_monai()
    members = [factory.build(spec) for _ in range(spec.network.members)]
    if spec.in_channels > 1:
        members = [click_guided(member, spec) for member in members]
    network = members[0] if len(members) == 1 else averaged(members)
    normalise_in_full(network)
    return network


def size_multiple(spec: TaskSpec) -> int:
    """What every spatial size of the network's input must be a multiple of.

    Raises:
        InvalidInputError: If the task has no network.
        UnknownNameError: If no network of that name is registered.
    """
    return _factory(spec).size_multiple(spec)


def feature_layer(network: nn.Module, spec: TaskSpec) -> nn.Module | None:
    """The layer of a task's network whose output describes an image as a whole; None where no layer is declared.

    Args:
        network: From `build_network`.
        spec: The task.
    """
    find_layer = _factory(spec).features
    return None if find_layer is None else find_layer(_bare(network, spec))


@contextmanager
def answering_quickly(network: nn.Module, spec: TaskSpec) -> Iterator[None]:
    """Within it a network that can answers from a part of its weights, an ensemble from one member; others as ever.

    Args:
        network: From `build_network`.
        spec: The task.
    """
    quick = _factory(spec).quick
    with ExitStack() as stack:
        if spec.network.members > 1:
            stack.enter_context(asking_one(network))
        if quick is not None:
            stack.enter_context(quick(_bare(network, spec)))
        yield


def feature_axis(spec: TaskSpec, *, places: int, size: int) -> tuple[float, float]:
    """Where the places of `feature_layer` lie along one axis of the input.

    Args:
        spec: The task.
        places: Along the axis.
        size: Of the input along it.

    Returns:
        Index (fractional) of the first place's centre, and how far the next one is.
    """
    step = size / places
    first = _factory(spec).first_place
    return (step - 1) / 2 if first is None or places == size else first, step


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


def _bare(network: nn.Module, spec: TaskSpec) -> nn.Module:
    """What the factory built, of several the first, without what takes clicks."""
    first = members_of(network)[0]
    return first if spec.in_channels == 1 else first.get_submodule("network")


def _factory(spec: TaskSpec) -> NetworkFactory:
    require_network(spec)
    factory = find_networks().get(spec.network.name)
    wanted = "images" if spec.of_whole_images else "voxels"
    if factory.scores != wanted:
        raise ConfigurationError(
            f"The network of task '{spec.name}' must score {wanted}, got '{factory.name}', which scores "
            f"{factory.scores}. Name another one."
        )
    return factory
