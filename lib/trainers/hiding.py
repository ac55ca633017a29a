"""Hides blocks of images, which a network is to fill in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..task import TaskSpec
from .augmentation import augment_image


@dataclass(frozen=True, kw_only=True)
class Hiding:
    """A `lesson.Change` that gives an image with hidden blocks, and what was there.

    Attributes:
        share: Of an image that is hidden, on average.
        block_voxels: Size of a block along each axis, where the image is that large.
    """

    share: float = 0.6
    block_voxels: int = 8

    def __call__(
        self, image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float
    ) -> tuple[Tensor, Tensor]:
        """Change an image at random as in a training, then hide blocks of it.

        Args:
            image: `(B, 1, X, Y, Z)` float32.
            label: Passed over.
            spec: For what may be changed.
            random: On the CPU; decides everything.
            strength: Of the changes.

        Returns:
            `(B, 1, X, Y, Z)`, each hidden voxel with the mean of the visible ones of its image; and `(B, 2, X, Y, Z)`:
            the image as it was, and 1 where it is hidden.
        """
        image, _ = augment_image(image, label, spec=spec, random=random, strength=strength)
        hidden = self._blocks(image, random)
        visible = 1 - hidden
        over = (2, 3, 4)
        mean = (image * visible).sum(dim=over, keepdim=True) / visible.sum(dim=over, keepdim=True).clamp(min=1)
        return torch.where(hidden > 0, mean, image), torch.cat([image, hidden], dim=1)

    def _blocks(self, image: Tensor, random: torch.Generator) -> Tensor:
        """`(B, 1, X, Y, Z)` 1 where it is hidden; something always is."""
        counts = [-(-size // self.block_voxels) for size in image.shape[2:]]
        chance = torch.rand(len(image), 1, *counts, generator=random)
        least = chance.flatten(1).amin(dim=1).view(-1, 1, 1, 1, 1)
        blocks = ((chance < self.share) | (chance == least)).to(image.device, image.dtype)
        for axis, size in enumerate(image.shape[2:], start=2):
            blocks = blocks.repeat_interleave(self.block_voxels, dim=axis).narrow(axis, 0, size)
        return blocks
