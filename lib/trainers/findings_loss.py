"""Losses of findings: each counts where somebody looked for it, and teaches nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..task import TaskSpec, TrainerOptions
from .cases import FindingsCase
from .loss import Total, own

_FOCUS = 2.0
_MARGIN = 1.0
_HEAVIEST = 10.0


class MaskedCrossEntropy(nn.Module):
    """Binary cross-entropy, the mean over what was looked for.

    Args:
        weights: `(2, findings)` of a finding that is not there, and of one that is.
        focus: What is told well already counts less by this power of what is missing (focal loss, Lin et al.,
            arXiv:1708.02002); 0 for none.
    """

    def __init__(self, weights: Tensor, *, focus: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("_weights", weights)
        self._focus = focus

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """See `loss.PartialLoss`; everything is `(B, findings)`, labels from 0 to 1."""
        logits = logits.float()
        absent, present = self.get_buffer("_weights")
        each = functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
        if self._focus:
            each = each * (label - logits.sigmoid()).abs() ** self._focus
        weights = annotated * (label * present + (1 - label) * absent)
        surprise, asked = total(torch.stack([(each * weights).sum(), weights.sum()]))
        return surprise / asked.clamp(min=1e-6)


class MaskedAUCMargin(nn.Module):
    """AUC margin loss (AUCM, Yuan et al., ICCV 2021, arXiv:2012.03173): the two answers' probabilities far apart.

    Per finding, with `h` the probabilities of images that have it and of images that do not: the variance of both, and
    the square of what their means lack to a distance of 1. That is the paper's objective with its inner problem, whose
    solution is known, solved on each batch; a finding that a batch shows with one answer alone has no margin there.
    """

    def forward(self, logits: Tensor, label: Tensor, annotated: Tensor, *, total: Total = own) -> Tensor:
        """See `loss.PartialLoss`; everything is `(B, findings)`, labels from 0 to 1."""
        chances, asked = logits.float().sigmoid(), annotated.float()
        shares = torch.stack([asked * (1 - label), asked * label])
        sums = torch.stack([shares, shares * chances, shares * chances**2]).sum(dim=2)
        counts, firsts, seconds = total(sums)
        there = counts > 0
        means = firsts / counts.clamp(min=1e-6)
        spread = ((seconds / counts.clamp(min=1e-6) - means**2).clamp(min=0) * there).sum(dim=0)
        missing = (_MARGIN - (means[1] - means[0])).clamp(min=0) ** 2 * there.all(dim=0)
        return (spread + missing).sum() / there.any(dim=0).sum().clamp(min=1)


_LOSSES: Mapping[str, Callable[[Tensor], nn.Module]] = MappingProxyType(
    {
        "cross_entropy": MaskedCrossEntropy,
        "focal": lambda weights: MaskedCrossEntropy(weights, focus=_FOCUS),
        "auc_margin": lambda weights: MaskedAUCMargin(),
    }
)


def findings_loss(options: TrainerOptions, training: Sequence[FindingsCase], spec: TaskSpec) -> nn.Module:
    """The loss a training asks for.

    Args:
        options: `loss`, and `class_weights` for the two kinds of cross-entropy; AUC margin is balanced by itself.
        training: The training cases, whose shares of answers weigh.
        spec: The task.
    """
    weights = answer_weights(training, spec, power=options.class_weights)
    return _LOSSES[options.loss or next(iter(_LOSSES))](weights)


def answer_weights(training: Sequence[FindingsCase], spec: TaskSpec, *, power: float) -> Tensor:
    """`(2, findings)`: how much a "no" and a "yes" to each finding weigh, the rarer answer the more.

    Args:
        training: The training cases.
        spec: The task.
        power: 1 weighs by the inverse of an answer's share (at most tenfold), 0 all alike.
    """
    answers = [[case.findings[name] for case in training if name in case.findings] for name in spec.labels.names]
    counts = torch.tensor([[said.count(False) for said in answers], [said.count(True) for said in answers]])
    shares = counts.sum(dim=0) / (2 * counts).clamp(min=1)
    return torch.where(counts > 0, shares, 1.0).clamp(1 / _HEAVIEST, _HEAVIEST) ** power
