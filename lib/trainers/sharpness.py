"""Sharpness-aware minimisation (Foret et al., arXiv:2010.01412): descend by the gradient of the worst point nearby."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Climb:
    """One visit to the point where the loss is worst, as far as the gradient tells, and back.

    Args:
        parameters: With the gradients of their own place, times any scale.
        radius: Distance of that point.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, radius: float) -> None:
        self._parameters = [one for one in parameters if one.grad is not None]
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        # Scaled gradients overflow now and then; the step is left out then, and so is the climb.
        scale = torch.where(norm.isfinite() & (norm > 0), radius / norm, torch.zeros_like(norm))
        self._before: list[Tensor] = [one.detach().clone() for one in self._parameters]
        with torch.no_grad():
            for one, gradient in zip(self._parameters, gradients, strict=True):
                one.add_(gradient.nan_to_num(0.0, 0.0, 0.0) * scale)

    def back(self) -> None:
        """Put the parameters back where they were, bit by bit."""
        with torch.no_grad():
            for one, before in zip(self._parameters, self._before, strict=True):
                one.copy_(before)
