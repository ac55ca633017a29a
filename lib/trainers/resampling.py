"""Turned, scaled and moved patches: image and label map together, each sample by its own matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def uniform(count: int, limit: float, random: torch.Generator) -> Tensor:
    """`(count,)` numbers between `-limit` and `limit`."""
    return (torch.rand(count, generator=random) * 2 - 1) * limit


def about(axis: int, angles: Tensor) -> Tensor:
    """`(B, 3, 3)` rotations about one array axis, by `(B,)` angles in radians."""
    first, second = [other for other in range(3) if other != axis]
    matrix = torch.eye(3).repeat(len(angles), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angles.cos()
    matrix[:, first, second], matrix[:, second, first] = -angles.sin(), angles.sin()
    return matrix


def resample(
    image: Tensor,
    label: Tensor,
    matrices: Tensor,
    moves: Tensor,
    *,
    extent: Tensor,
    where: Tensor,
    bends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample some patches at other places; what comes into view repeats the edge.

    Args:
        image: `(B, 1, X, Y, Z)` float32; linear between its voxels.
        label: `(B, 1, X, Y, Z)` label map; nearest neighbour.
        matrices: `(B, 3, 3)` about the centre, in the units of `extent`, axes in their order.
        moves: `(B, 3)` shares of the patch's size, axes in their order.
        extent: `(3,)` size of a patch.
        where: `(B,)` bool, which of them.
        bends: `(B, X, Y, Z, 3)` how much farther away each voxel is taken from, in shares of the patch's size.

    Returns:
        Both, same shapes and types.
    """
    if not where.any():
        return image, label
    # affine_grid's axes run from -1 to 1 over the patch, and the last one comes first.
    scaled = matrices[where] * extent[None, None, :] / extent[None, :, None]
    theta = torch.cat([scaled.flip(1, 2), 2 * moves[where].flip(1)[..., None]], dim=2).to(image.device)
    chosen = where.to(image.device)
    points = functional.affine_grid(theta, [len(theta), 1, *image.shape[2:]], align_corners=False)
    if bends is not None:
        points = points + 2 * bends[where].flip(-1).to(image.device)
    turned = functional.grid_sample(image[chosen], points, mode="bilinear", padding_mode="border", align_corners=False)
    moved = functional.grid_sample(
        label[chosen].float(), points, mode="nearest", padding_mode="border", align_corners=False
    )
    image, label = image.clone(), label.clone()
    image[chosen], label[chosen] = turned, moved.to(label.dtype)
    return image, label
