"""Several networks of one architecture as one, which answers with the mean of what they say (a deep ensemble).

They begin with different random weights and are taught by the same patches, each by itself (Lakshminarayanan et al.,
arXiv:1612.01474).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .asking import holding, outputs_of

if TYPE_CHECKING:
    from torch import Tensor, nn


def averaged(networks: Sequence[nn.Module]) -> nn.Module:
    """One network that says what several say on average.

    Args:
        networks: At least one, of the same architecture; `members_of` finds them again.

    Returns:
        In training it gives the scores of each, finer levels before coarser ones; otherwise the mean of the finest.
    """
    import torch
    from torch import nn

    class Averaged(nn.Module):
        """Asks every member, or the first alone while `asked` is 1."""

        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList(networks)
            self.asked = len(networks)

        def forward(self, image: Tensor) -> Tensor | list[Tensor]:
            """Mean scores `(B, channels, …)`; in training those of each member."""
            levels = [outputs_of(member(image)) for member in self.members[: self.asked]]
            if self.training:
                return [scores for level in zip(*levels, strict=True) for scores in level]
            return torch.stack([finest for finest, *_ in levels]).mean(dim=0)

    return Averaged()


def members_of(network: nn.Module) -> list[nn.Module]:
    """The members of what `averaged` made; of any other network itself alone."""
    found = getattr(network, "members", None)
    return [network] if found is None else list(found)


def asking_one(network: nn.Module) -> AbstractContextManager[None]:
    """Within it the first member of what `averaged` made answers for all."""
    return holding(network, "asked", 1)
