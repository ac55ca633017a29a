"""Learning rates that fall from the last layer to the first, so that a warm start keeps what early layers know."""

from __future__ import annotations

from itertools import chain
from typing import Any

from torch import nn

from ..networks.ensemble import members_of


def parameter_groups(network: nn.Module, *, decay: float, by_layer: bool = False) -> list[dict[str, Any]]:
    """An optimiser's parameter groups, one per layer, each with the `share` of the learning rate that it takes.

    The last layer takes all of it and the first `decay`; between them each takes the same factor less than the next (as
    Howard & Ruder, arXiv:1801.06146, do for text). Layers are in the order in which the network declares them; those of
    an ensemble's members count as one.

    Args:
        network: Any.
        decay: Above 0, at most 1; 1 for one group with all parameters.
        by_layer: Whether layers have groups of their own in any case; `head` marks the last.
    """
    if decay == 1 and not by_layer:
        return [{"params": list(network.parameters()), "share": 1.0, "head": True}]
    layers = [list(chain(*same)) for same in zip(*map(_layers_of, members_of(network)), strict=True)]
    last = len(layers) - 1
    return [
        {"params": own, "share": decay ** ((last - number) / max(1, last)), "head": number == last}
        for number, own in enumerate(layers)
    ]


def _layers_of(network: nn.Module) -> list[list[nn.Parameter]]:
    seen: set[int] = set()
    layers = []
    for module in network.modules():
        own = [one for one in module.parameters(recurse=False) if id(one) not in seen]
        seen.update(id(one) for one in own)
        if own:
            layers.append(own)
    return layers
