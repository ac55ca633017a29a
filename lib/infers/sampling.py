"""Several answers: of one network with its dropout layers at work, of one image seen in several ways, of versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import InvalidInputError
from ..task import TaskSpec
from .scores import scores_of

Ask = Callable[[Tensor], Tensor]
"""`(1, 1, x, y, z)` a window → `(samples, channels, x, y, z)` logits."""

_SAMPLES = 6
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_NOISE = 0.05


@contextmanager
def asking(
    network: nn.Module, how: str, *, spec: TaskSpec, others: Sequence[nn.Module] = (), seed: int = 0
) -> Iterator[Ask]:
    """How a network is asked; afterwards it is as before, and so are torch's random numbers.

    Args:
        network: In evaluation mode.
        how: `once`, `dropout` (only the dropout layers are switched on, so that statistics of other layers stay),
            `augmented` (brightness, contrast, noise: nothing that moves a voxel or swaps left and right), or `members`
            (the network and `others`, each once).
        spec: The task.
        others: Networks of the same task, in evaluation mode and on the same device.
        seed: Of dropout and noise.

    Raises:
        InvalidInputError: If there is no such way, the network has no dropout layer, or there are no others.
    """
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "once": lambda window: scores_of(network, window, spec=spec),
        "dropout": lambda window: scores_of(network, window.expand(_SAMPLES, -1, -1, -1, -1), spec=spec),
        "augmented": lambda window: scores_of(network, _seen_in_several_ways(window), spec=spec),
        "members": lambda window: torch.cat([scores_of(one, window, spec=spec) for one in (network, *others)]),
    }
    if how not in ways:
        raise InvalidInputError(f"A network is asked {', '.join(ways)}, got {how[:32]!r}. Correct the scoring method.")
    layers = [layer for layer in network.modules() if isinstance(layer, _DROPOUT) and layer.p > 0]
    if how == "dropout" and not layers:
        raise InvalidInputError(
            f"MC dropout must have dropout layers, got none in network '{spec.network.name}' of task '{spec.name}'. "
            "Score with tta, or give the network dropout."
        )
    if how == "members" and not others:
        raise InvalidInputError(
            f"A committee of task '{spec.name}' must have two or more model versions, got one. Train the task again, "
            "or score with tta, which needs one."
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in layers if how == "dropout" else ():
            layer.train()
        try:
            yield ways[how]
        finally:
            for layer in layers if how == "dropout" else ():
                layer.eval()


def _seen_in_several_ways(window: Tensor) -> Tensor:
    """`(6, 1, x, y, z)`: as it is, brighter, darker, with less and more contrast, noisier."""
    noise = torch.randn(window.shape).to(window.device) * _NOISE
    return torch.cat([window, window + 0.1, window - 0.1, window * 0.85, window * 1.15, window + noise])
