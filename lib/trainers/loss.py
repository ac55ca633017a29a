"""Dice plus cross-entropy that does not punish a network for what an annotator did not look at.

Labels that exclude each other share a softmax with the background; labels that overlap have a sigmoid each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..networks.ensemble import members_of
from ..task import TaskSpec
from .class_sums import class_sums

_NOWHERE = -1e4
_SILENT = -8.0


Total = Callable[[Tensor], Tensor]
"""Adds up what the processes of a training found in their shares of a batch; gradients pass."""


def own(sums: Tensor) -> Tensor:
    """The total of a process that has the batch to itself."""
    return sums


class PartialLoss(Protocol):
    """What a training descends."""

    def __call__(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: `(B, channels, …)`, any float type.
            label: `(B, 1, …)` label map, or of whole images `(B, channels)`.
            annotated: `(B, channels)` whether each label was annotated there.
            total: Of the whole batch, where this is a share of it: the loss is then the same in every process.

        Returns:
            Scalar float32.
        """
        ...


def loss_of(
    spec: TaskSpec, *, present: Tensor, known: Tensor, focal: bool = False
) -> PartialSigmoidLoss | PartialDiceCELoss:
    """The loss that fits a task's labels; arguments as in `PartialDiceCELoss`.

    With `focal`, voxels that are told well already count less in the cross-entropy, by the square of what is missing
    (Lin et al., arXiv:1708.02002).
    """
    if spec.labels.overlapping:
        return PartialSigmoidLoss(focal=focal)
    return PartialDiceCELoss(present=present, known=known, focal=focal)


class PartialSigmoidLoss(nn.Module):
    """Dice and binary cross-entropy of each label by itself, over the labels each patch was annotated for.

    A label that was not annotated in a patch says nothing there. The Dice of a label (Milletari et al.,
    arXiv:1606.04797) takes its patches as one volume, so one in which it is not drawn does not make it undefined.
    """

    def __init__(self, *, focal: bool = False) -> None:
        super().__init__()
        self._focal = focal

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """See `PartialLoss`; label values are bits (`LabelSet.values`)."""
        channels = logits.shape[1]
        bits = torch.arange(channels, device=logits.device).view(1, channels, *(1,) * (logits.ndim - 2))
        truth = ((label.int() >> bits) & 1).float()
        asked = annotated.view(*annotated.shape, *(1,) * (logits.ndim - 2)).expand_as(truth)
        logits, over = logits.float(), [0, *range(2, logits.ndim)]
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        if self._focal:
            each = each * (truth - logits.sigmoid()) ** 2
        probabilities, truth = logits.sigmoid() * asked, truth * asked
        sums = [probabilities * truth, probabilities, truth, each * asked, asked]
        overlap, drawn, labelled, surprise, voxels = total(torch.stack([part.sum(dim=over) for part in sums]))
        dice = 2 * overlap / (drawn + labelled).clamp(min=1.0)
        there = labelled > 0
        cross_entropy = surprise.sum() / voxels.sum().clamp(min=1)
        return cross_entropy + ((1 - dice) * there).sum() / there.sum().clamp(min=1)


class PartialDiceCELoss(nn.Module):
    """Dice and cross-entropy over the labels each patch was annotated for.

    Where a label is known to the task but not annotated in a patch, "background" there means "background or that
    label": its probability is added to the background's (marginal loss, Shi et al., Medical Image Analysis 70, 2021).
    A label that no training case and no earlier version knows is not spared: the network learns not to draw it.

    Small structures count: in the cross-entropy a label weighs by the square root of its voxels in the batch instead
    of their number, and the Dice term is the mean over the labels that the batch holds, taken as one volume. A label
    that the batch does not hold has no meaningful Dice; the cross-entropy alone keeps it from being drawn.

    Args:
        present: `(channels,)` labels that occur in the training cases; the background's entry is ignored.
        known: `(channels,)` labels that a training case or the parent version knows.
        focal: See `loss_of`.
    """

    def __init__(self, *, present: Tensor, known: Tensor, focal: bool = False) -> None:
        super().__init__()
        self._focal = focal
        self.register_buffer("_present", present & (torch.arange(len(present)) > 0))
        self.register_buffer("_known", known)

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: `(B, channels, …)`, any float type.
            label: `(B, 1, …)` label indices.
            annotated: `(B, channels)` whether each label was annotated there.
            total: See `PartialLoss`.

        Returns:
            Scalar float32, about 0–3 and above.
        """
        logits = self._fold(logits.float(), annotated)
        target = label[:, 0].long()
        own_counts = torch.bincount(target.flatten(), minlength=logits.shape[1]).float()
        logarithms, overlap, drawn = class_sums(logits, target)
        if self._focal:
            logarithms = _focused(logits, target)
        logarithms, overlap, drawn, counts = total(torch.stack([logarithms, overlap, drawn, own_counts]))
        weights = counts.clamp(min=1).rsqrt()
        cross_entropy = -(weights * logarithms).sum() / (weights * counts).sum()
        # One minus the mean soft Dice (Milletari et al., arXiv:1606.04797) of the labels in the batch.
        present = self.get_buffer("_present") & (counts > 0)
        dice = 2 * overlap / (drawn + counts).clamp(min=1.0)
        return cross_entropy + ((1 - dice) * present).sum() / present.sum().clamp(min=1)

    def _fold(self, logits: Tensor, annotated: Tensor) -> Tensor:
        """Add spared labels to the background, and make them impossible by themselves."""
        spared = self.get_buffer("_known")[None] & ~annotated
        spared[:, 0] = False
        if not spared.any():
            return logits
        mask = spared.view(*spared.shape, *(1,) * (logits.ndim - 2))
        as_background = torch.cat([logits[:, :1], logits.masked_fill(~mask, _NOWHERE)], dim=1)
        background = as_background.logsumexp(dim=1, keepdim=True)
        return torch.cat([background, logits[:, 1:].masked_fill(mask[:, 1:], _NOWHERE)], dim=1)


def _focused(logits: Tensor, target: Tensor) -> Tensor:
    """`(channels,)` sums of each class's log probabilities at its voxels, by the square of what they lack to one."""
    own = logits.log_softmax(dim=1).gather(1, target[:, None])[:, 0].flatten()
    return logits.new_zeros(logits.shape[1]).index_add(0, target.flatten(), (1 - own.exp()) ** 2 * own)


def silence_unknown(network: nn.Module, *, known: Tensor, before: Tensor | None = None) -> None:
    """Start with a guess of nearly zero for labels that nothing teaches (Lin et al., arXiv:1708.02002).

    Without this a task of a hundred labels, trained on ten, spends hundreds of steps on not drawing the other ninety.

    Args:
        network: Changed in place: the bias of its last layer with one output per channel, if it has one.
        known: `(channels,)` labels that a training case or the parent version knows.
        before: The same for the parent version alone; labels it did not know but `known` does start at zero again.
            None for a network with random weights.
    """
    for layer in output_layers(network, len(known)):
        bias = cast(Tensor, layer.bias)
        with torch.no_grad():
            if before is None:
                bias[~known.to(bias.device)] = _SILENT
            else:
                bias[(known & ~before).to(bias.device)] = 0.0


def output_layers(network: nn.Module, channels: int) -> list[nn.Module]:
    """Of each member of an ensemble the last layer with one output per channel and a bias, where it has one."""
    found = []
    for member in members_of(network):
        scoring = [
            layer
            for layer in member.modules()
            if getattr(layer, "out_channels", None) == channels and isinstance(getattr(layer, "bias", None), Tensor)
        ]
        found += scoring[-1:]
    return found
