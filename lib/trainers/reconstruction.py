"""A task's network as one that fills in what is hidden of an image, and how well it does."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..networks.asking import outputs_of
from ..networks.devices import short_numbers
from ..networks.ensemble import members_of
from ..networks.factory import build_network, size_multiple
from ..task import TaskSpec
from .hiding import Hiding
from .lesson import Sampler
from .loss import Total, output_layers, own
from .standing import Randomness

FILLED = "hidden parts"
_PATCHES = 8


class Reconstructing(nn.Module):
    """A task's network with one more layer, from its scores to the intensity of the image.

    Weights that have no part in it, those of the heads of coarser levels, ask for no gradient: processes that share a
    batch would wait for one.

    Args:
        network: Whose output is `(B, channels, …)`.
        spec: The task.
    """

    def __init__(self, network: nn.Module, spec: TaskSpec) -> None:
        super().__init__()
        self.network = network
        self.intensity = (nn.Conv2d if spec.dimension == 2 else nn.Conv3d)(spec.out_channels, 1, 1)
        self._output = [one for layer in output_layers(network, spec.out_channels) for one in layer.parameters()]
        self._fresh = [one.detach().clone() for one in self._output]
        for name in _idle(self, spec):
            self.get_parameter(name).requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """`(B, 1, …)` intensities."""
        finest = outputs_of(self.network(image))[: len(members_of(self.network))]
        found: Tensor = self.intensity(torch.stack(finest).mean(dim=0))
        return found

    def forget_output(self) -> None:
        """Give the last layer of the network its first weights again: scores of labels have nothing to do with it."""
        with torch.no_grad():
            for one, fresh in zip(self._output, self._fresh, strict=True):
                one.copy_(fresh)


def _idle(network: nn.Module, spec: TaskSpec) -> list[str]:
    """Names of the weights that get no gradient."""
    trial = copy.deepcopy(network).train()
    trial(torch.zeros(1, 1, *(2 * size_multiple(spec),) * spec.dimension)).sum().backward()
    return [name for name, one in trial.named_parameters() if one.grad is None]


def reconstructing(spec: TaskSpec) -> Reconstructing:
    """The network of a task, to be pretrained, with random weights."""
    return Reconstructing(build_network(spec), spec)


class HiddenError(nn.Module):
    """Mean absolute error over the hidden voxels (as in SimMIM, Xie et al., arXiv:2111.09886)."""

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """See `loss.PartialLoss`; `label` is the second of what `Hiding` gives."""
        hidden = label[:, 1:]
        apart = (logits.float() - label[:, :1]).abs() * hidden
        error, voxels = total(torch.stack([apart.sum(), hidden.sum()]))
        return error / voxels.clamp(min=1)


def filled(network: nn.Module, sampler: Sampler, *, spec: TaskSpec, hiding: Hiding, device: torch.device) -> float:
    """How much of the hidden contrast a network fills in: 1 all of it, 0 no more than the mean of what is visible.

    Args:
        network: `Reconstructing`, in evaluation mode afterwards.
        sampler: Of images it does not learn from; the same patches of them are always taken.
        spec: The task.
        hiding: What is hidden.
        device: Where the network is.
    """
    network.eval()
    random = Randomness(0, 0)
    error, plain = 0.0, 0.0
    for _ in range(_PATCHES):
        batch = sampler.draw(1, random=random.patches)
        seen, truth = hiding(batch.image, batch.label, spec=spec, random=random.changes, strength=0.0)
        if spec.dimension == 2:
            seen, truth = seen[..., 0], truth[..., 0]
        with torch.inference_mode(), short_numbers(device):
            guess = network(seen.to(device)).float().cpu()
        error += float(HiddenError()(guess, truth, truth))
        plain += float(HiddenError()(seen, truth, truth))
    return 1 - error / plain if plain else 0.0
