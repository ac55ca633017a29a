"""The sums over a batch from which cross-entropy and soft Dice follow, with their gradient written out.

On a CPU a light network's step spends as much time in a loss put together from separate operations as in the network:
two softmaxes, and per label a mask, a selection and their gradients, each another pass over all scores. Here all is had
from one softmax, and the gradient from one pass over it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def class_sums(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per class, over all voxels of a batch.

    Args:
        logits: `(B, classes, …)` float32.
        target: `(B, …)` class of each voxel, int64.

    Returns:
        Three times `(classes,)` float32: of the voxels of a class, the logarithms of its probability and the
        probabilities, summed; and the sum of its probability over all voxels.
    """
    # A softmax over channels that lie side by side takes longer than bringing them apart first.
    apart = logits.flatten(2).contiguous()
    return cast("tuple[Tensor, Tensor, Tensor]", _ClassSums.apply(apart, target.flatten(1)))


class _ClassSums(torch.autograd.Function):
    """The gradient, with scores `z`, softmax `p`, a voxel's class `t`, and the gradients `s`, `i`, `u` of the sums.

    `dz[k] = p[k] (u[k] - Σ u p - a) + (k = t) a`, where `a = s[t] + i[t] p[t]`.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        classes = logits.shape[1]
        logarithms = logits.log_softmax(dim=1)
        own = logarithms.gather(1, target[:, None])[:, 0]
        probabilities = logarithms.exp_()
        own_probability = own.exp()
        ctx.save_for_backward(probabilities, own_probability, target)
        where = target.flatten()
        # In float64, because the sums are taken one voxel after another.
        found = [
            torch.bincount(where, weights=values.flatten().double(), minlength=classes).float()
            for values in (own, own_probability)
        ]
        return found[0], found[1], probabilities.sum(dim=(0, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probabilities, own_probability, target = ctx.saved_tensors
        of_logarithms, of_own, of_all = gradients
        own = of_logarithms[target] + of_own[target] * own_probability
        shared = torch.einsum("c,bcn->bn", of_all, probabilities).add_(own)
        result = (of_all[None, :, None] - shared[:, None]).mul_(probabilities)
        return result.scatter_add_(1, target[:, None], own[:, None]), None
