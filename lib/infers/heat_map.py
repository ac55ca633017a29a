"""Where a finding comes from: class activation maps (Grad-CAM, Selvaraju et al., ICCV 2017) on the image's grid."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InvalidInputError
from ..geometry import Volume, restore_orientation
from ..networks.factory import feature_axis, feature_layer
from ..networks.whole_image import network_input
from ..preprocessing import AxisMap, Prepared
from ..task import TaskSpec

_TINY = 1e-30


def heat_map(network: nn.Module, prepared: Prepared, *, spec: TaskSpec, finding: str, device: torch.device) -> Volume:
    """Show what speaks for a finding.

    Args:
        network: Of a task of whole images, in evaluation mode on `device`.
        prepared: The image.
        spec: The task.
        finding: Which one.
        device: Where the network is.

    Returns:
        `(X, Y, Z)` float32 in [0, 1] on the image's own grid; the maximum of the map is 1, or all is 0 where nothing
        speaks for the finding.

    Raises:
        InvalidInputError: If the network declares no layer for it.
    """
    channel = spec.labels.named(finding).index - 1
    coarse = _activation(network, network_input([prepared.tensor], spec=spec).to(device), channel=channel, spec=spec)
    canonical: NDArray[np.float32] = (coarse[..., None] if spec.dimension == 2 else coarse).numpy()
    for axis, working in enumerate(prepared.axes):
        places = canonical.shape[axis]
        first, step = feature_axis(spec, places=places, size=working.size)
        canonical = _onto_source(canonical, axis, AxisMap(first, step, places, working.size))
        canonical = _onto_source(canonical, axis, working)
    array = restore_orientation(canonical, prepared.order, prepared.flips)
    return Volume(np.ascontiguousarray(array) / max(float(array.max()), _TINY), prepared.source)


def _activation(network: nn.Module, image: Tensor, *, channel: int, spec: TaskSpec) -> Tensor:
    """`(x, y[, z])` float32: the last features, each weighted by how much it raises the logit; 0 or more."""
    seen: list[Tensor] = []
    layer = feature_layer(network, spec)
    if layer is None:
        raise InvalidInputError(
            f"A network must declare its last map of features for a heat map, got none of '{spec.network.name}'. "
            "Ask without one."
        )
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        with torch.enable_grad():
            logit = network(image.requires_grad_())[0, channel]
            (gradient,) = torch.autograd.grad(logit, seen[0])
    finally:
        hook.remove()
    space = tuple(range(1, gradient.ndim - 1))
    weights = gradient[0].mean(dim=space, keepdim=True)
    return (weights * seen[0][0]).sum(dim=0).clamp(min=0).detach().float().cpu()


def _onto_source(array: NDArray[np.float32], axis: int, working: AxisMap) -> NDArray[np.float32]:
    """Linear interpolation along one canonical axis; beyond the working grid's ends their value goes on."""
    below, above, share = working.surrounding(0, working.source_size)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = share.reshape(shape)
    return np.take(array, below, axis=axis) * (1 - share) + np.take(array, above, axis=axis) * share
