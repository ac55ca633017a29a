"""Clicks a person would make, simulated where the network errs (Sakinis et al., arXiv:1903.08205)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.asking import outputs_of
from ..networks.guidance import click_maps

_WITHOUT_SHARE = 0.4
_MOST_CLICKS = 4


def click_on_errors(
    network: nn.Module, image: Tensor, label: Tensor, annotated: Tensor, *, random: torch.Generator
) -> Tensor:
    """A batch with clicks as further channels; four patches in ten get none, so that drafts need none.

    Args:
        network: Draws the batch without clicks first.
        image: `(B, 1, …)`.
        label: `(B, 1, …)` label indices.
        annotated: `(B, channels)` which labels the annotator of a patch cared for; no click speaks of the others.
        random: On the CPU; decides everything.

    Returns:
        `(B, 1 + channels, …)` on the image's device.
    """
    channels = annotated.shape[1]
    clicked = [bool(torch.rand((), generator=random) >= _WITHOUT_SHARE) for _ in range(len(image))]
    maps = image.new_zeros(image.shape[0], channels, *image.shape[2:])
    if any(clicked):
        drawn = _drawn(network, image)
        for position in (place for place, wanted in enumerate(clicked) if wanted):
            cared = annotated[position].to(image.device)
            truth = label[position, 0].long()
            wrong = (drawn[position] != truth) & cared[drawn[position]] & cared[truth]
            points = _points(truth, wrong, random)
            maps[position] = click_maps(points, shape=image.shape[2:], channels=channels, device=str(image.device)).to(
                image.dtype
            )
    return torch.cat([image, maps], dim=1)


def _drawn(network: nn.Module, image: Tensor) -> Tensor:
    """`(B, …)` labels as inference draws them.

    In evaluation mode: statistics of batches are neither used nor moved, which several processes would have to do
    together, and not all of them have patches with clicks.
    """
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return outputs_of(network(image))[0].argmax(dim=1)
    finally:
        network.train(training)


def _points(truth: Tensor, wrong: Tensor, random: torch.Generator) -> dict[int, list[list[float]]]:
    """A few erroneous voxels under their true label; every label with errors is as likely, however small."""
    points: dict[int, list[list[float]]] = {}
    labels = torch.unique(truth[wrong]).tolist()
    for _ in range(int(torch.randint(1, _MOST_CLICKS + 1, (), generator=random)) if labels else 0):
        index = labels[int(torch.randint(len(labels), (), generator=random))]
        where = torch.nonzero(wrong & (truth == index))
        chosen = where[int(torch.randint(len(where), (), generator=random))]
        points.setdefault(int(index), []).append([float(at) for at in chosen])
    return points
