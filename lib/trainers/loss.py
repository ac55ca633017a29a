"""Dice plus cross-entropy that does not punish a network for what an annotator did not look at."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

_NOWHERE = -1e4


class PartialDiceCELoss(nn.Module):
    """Dice and cross-entropy over the labels each patch was annotated for.

    Where a label is known to the task but not annotated in a patch, "background" there means "background or that
    label": its probability is added to the background's (marginal loss, Shi et al., Medical Image Analysis 70, 2021).
    A label that no training case and no earlier version knows is not spared: the network learns not to draw it.

    The Dice term counts a batch as one volume, so that a small structure missing from one patch does not dominate, and
    runs over the labels that occur in the training cases.

    Args:
        present: `(channels,)` labels that occur in the training cases; the background's entry is ignored.
        known: `(channels,)` labels that a training case or the parent version knows.
    """

    def __init__(self, *, present: Tensor, known: Tensor) -> None:
        super().__init__()
        self.register_buffer("_channels", torch.nonzero(present[1:]).flatten() + 1)
        self.register_buffer("_known", known)
        self._dice = DiceLoss(include_background=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: `(B, channels, …)`, any float type.
            label: `(B, 1, …)` label indices.
            annotated: `(B, channels)` whether each label was annotated there.

        Returns:
            Scalar float32, about 0–3 and above.
        """
        logits = self._fold(logits.float(), annotated)
        target = label[:, 0].long()
        channels: Tensor = self.get_buffer("_channels")
        loss = functional.cross_entropy(logits, target)
        if len(channels):
            probabilities = logits.softmax(dim=1)[:, channels]
            truth = torch.stack([target == channel for channel in channels.tolist()], dim=1).float()
            loss = loss + self._dice(probabilities, truth)
        return loss

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
