"""Random but anatomically possible changes of patches, on the device that trains.

Nothing here mirrors an image: a mirrored patient has left and right exchanged, along whichever axis it is mirrored, so
flips are drawn only for tasks without a lateral label.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..labels import Label
from ..task import Percentiles, Spacing, TaskSpec, ZScoreThenRange

_SPATIAL_SHARE = 0.5
# A patch of a volume lies anywhere; a radiograph is seen whole, and only a move shows it at another place.
_PICTURE_SHARE = 0.8
_LARGEST_MOVE = 0.1
_LARGEST_ANGLE = math.radians(10.0)
_LARGEST_SCALING = 0.1
_LARGEST_GAIN = 0.1
_LARGEST_SHIFT = 0.1
_LARGEST_NOISE = 0.05
# Hounsfield units are calibrated: much shading turns the air around a patient into lung.
_WINDOW_STRENGTH = 0.3
# A range rule spends most of [-1, 1] on air, bone and metal; soft tissue differs by a few hundredths.
_RANGE_STRENGTH = 0.2
# A radiograph's grey values depend on detector, exposure and processing.
_PERCENTILES_STRENGTH = 2.0
_SIDES = frozenset({"left", "right"})


def augment(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shade and blur the patient a little; every sample on its own.

    Args:
        image: `(B, 1, X, Y, Z)` float32 in about [-1, 1].
        label: `(B, 1, X, Y, Z)` label indices.
        spec: For spacing, dimension and whether labels have a side.
        random: A generator on the CPU; it decides everything.
        strength: Scales every change; 0 leaves the patches as they are.

    Returns:
        Both, same shapes and types; the label's values are a subset of the given ones.
    """
    if strength == 0:
        return image, label
    if not has_sides(spec):
        image, label = _flip(image, label, random=random, axes=spec.dimension)
    image, label = _turn(image, label, spec=spec, random=random, strength=strength)
    return _shade(image, strength=strength * _shading_of(spec), random=random), label


def augment_image(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """As `augment`, for labels that speak of whole images and do not move; nothing is mirrored."""
    if strength == 0:
        return image, label
    nowhere = torch.zeros_like(image, dtype=torch.uint8)
    image, _ = _turn(image, nowhere, spec=spec, random=random, strength=strength)
    return _shade(image, strength=strength * _shading_of(spec), random=random), label


def _shading_of(spec: TaskSpec) -> float:
    if isinstance(spec.intensity, Percentiles):
        return _PERCENTILES_STRENGTH
    return _RANGE_STRENGTH if isinstance(spec.intensity, ZScoreThenRange) else _WINDOW_STRENGTH


def has_sides(spec: TaskSpec) -> bool:
    """Whether any label is a left or right one, by its name or its coded modifier."""
    return any(_is_lateral(label) for label in spec.labels)


def _is_lateral(label: Label) -> bool:
    coded = label.modifier is not None and label.modifier.meaning.lower() in _SIDES
    return coded or not _SIDES.isdisjoint(label.name.lower().split("_"))


def _uniform(count: int, limit: float, random: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=random) * 2 - 1) * limit


def _flip(image: Tensor, label: Tensor, *, random: torch.Generator, axes: int) -> tuple[Tensor, Tensor]:
    chosen = [2 + axis for axis in range(axes) if torch.rand((), generator=random) < 0.5]
    return (image.flip(chosen), label.flip(chosen)) if chosen else (image, label)


def _turn(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float
) -> tuple[Tensor, Tensor]:
    """Rotate about the centre and scale, in millimetres, and move a picture; what comes into view repeats the edge."""
    batch, size = image.shape[0], image.shape[2:]
    matrices = _matrices(batch, size, spec=spec, random=random, strength=strength)
    chosen = torch.rand(batch, generator=random) < (_PICTURE_SHARE if spec.dimension == 2 else _SPATIAL_SHARE)
    if not chosen.any():
        return image, label
    moves = torch.zeros(int(chosen.sum()), 3, 1)
    if spec.dimension == 2:  # the last axis comes first, as in the matrices, and is the one that a picture lacks
        for axis in (1, 2):
            moves[:, axis, 0] = 2 * _uniform(len(moves), _LARGEST_MOVE * strength, random)
    theta = torch.cat([matrices[chosen], moves], dim=2).to(image.device)
    where = chosen.to(image.device)
    points = functional.affine_grid(theta, [len(theta), 1, *size], align_corners=False)
    turned = functional.grid_sample(image[where], points, mode="bilinear", padding_mode="border", align_corners=False)
    moved = functional.grid_sample(
        label[where].float(), points, mode="nearest", padding_mode="border", align_corners=False
    )
    image, label = image.clone(), label.clone()
    image[where], label[where] = turned, moved.to(label.dtype)
    return image, label


def _matrices(batch: int, size: torch.Size, *, spec: TaskSpec, random: torch.Generator, strength: float) -> Tensor:
    """`(B, 3, 3)` in `affine_grid`'s coordinates: each axis from -1 to 1 over the patch, the last axis first."""
    spacing_mm: Spacing = spec.spacing_mm or (1.0, 1.0, 1.0)
    angles = torch.stack([_uniform(batch, _LARGEST_ANGLE * strength, random) for _ in range(3)])
    if spec.dimension == 2:
        angles[:2] = 0.0
    scales = 1.0 + _uniform(batch, _LARGEST_SCALING * strength, random)
    rotation = _about(0, angles[0]) @ _about(1, angles[1]) @ _about(2, angles[2])
    extent = torch.tensor([float(count * step) for count, step in zip(size, spacing_mm, strict=True)])
    matrix = rotation * scales[:, None, None] * extent[None, None, :] / extent[None, :, None]
    return matrix.flip(1, 2)


def _about(axis: int, angles: Tensor) -> Tensor:
    """`(B, 3, 3)` rotations about one array axis."""
    first, second = [other for other in range(3) if other != axis]
    matrix = torch.eye(3).repeat(len(angles), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angles.cos()
    matrix[:, first, second], matrix[:, second, first] = -angles.sin(), angles.sin()
    return matrix


def _shade(image: Tensor, *, strength: float, random: torch.Generator) -> Tensor:
    batch, shape = image.shape[0], (-1, 1, 1, 1, 1)
    gain = 1.0 + _uniform(batch, _LARGEST_GAIN * strength, random)
    shift = _uniform(batch, _LARGEST_SHIFT * strength, random)
    level = torch.rand(batch, generator=random) * _LARGEST_NOISE * strength
    noise = torch.randn(image.shape, generator=random)
    gain, shift, level = (value.view(shape).to(image.device) for value in (gain, shift, level))
    return image * gain + shift + level * noise.to(image.device)
