"""Random but anatomically possible changes of patches, on the device that trains.

A mirrored patient has left and right exchanged, along whichever axis it is mirrored. So flips are drawn only for tasks
without a lateral label; patches of symmetric ones are mirrored when they are read (`patches`), labels and all.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..task import Percentiles, Spacing, TaskSpec, ZScoreThenRange
from .pictures import change_picture
from .resampling import about, resample, uniform

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


def augment(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rotate, scale and shade the patient a little, or a radiograph more; every sample on its own.

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
    if not spec.symmetric and not has_sides(spec):
        image, label = _flip(image, label, random=random, axes=spec.dimension)
    if spec.dimension == 2 and isinstance(spec.intensity, Percentiles):
        return change_picture(image, label, random=random, strength=strength, clouds=has_sides(spec))
    image, label = _turn(image, label, spec=spec, random=random, strength=strength)
    return _shade(image, strength=strength * _shading_of(spec), random=random), label


def augment_image(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """A little, for labels that speak of whole images and do not move: much of it would take faint findings away."""
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
    """Whether any label is a left or right one."""
    return any(label.has_side for label in spec.labels)


def _flip(image: Tensor, label: Tensor, *, random: torch.Generator, axes: int) -> tuple[Tensor, Tensor]:
    chosen = [2 + axis for axis in range(axes) if torch.rand((), generator=random) < 0.5]
    return (image.flip(chosen), label.flip(chosen)) if chosen else (image, label)


def _turn(
    image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float
) -> tuple[Tensor, Tensor]:
    """Rotate about the centre and scale, in millimetres, and move a picture; what comes into view repeats the edge."""
    batch, size = image.shape[0], image.shape[2:]
    spacing_mm: Spacing = spec.spacing_mm or (1.0, 1.0, 1.0)
    extent = torch.tensor([float(count * step) for count, step in zip(size, spacing_mm, strict=True)])
    matrices = _matrices(batch, spec=spec, random=random, strength=strength)
    where = torch.rand(batch, generator=random) < (_PICTURE_SHARE if spec.dimension == 2 else _SPATIAL_SHARE)
    moves = torch.zeros(batch, 3)
    if spec.dimension == 2:
        for axis in (1, 0):
            moves[where, axis] = uniform(int(where.sum()), _LARGEST_MOVE * strength, random)
    return resample(image, label, matrices, moves, extent=extent, where=where)


def _matrices(batch: int, *, spec: TaskSpec, random: torch.Generator, strength: float) -> Tensor:
    """`(B, 3, 3)` rotations and scalings, in millimetres."""
    angles = torch.stack([uniform(batch, _LARGEST_ANGLE * strength, random) for _ in range(3)])
    if spec.dimension == 2:
        angles[:2] = 0.0
    scales = 1.0 + uniform(batch, _LARGEST_SCALING * strength, random)
    return about(0, angles[0]) @ about(1, angles[1]) @ about(2, angles[2]) * scales[:, None, None]


def _shade(image: Tensor, *, strength: float, random: torch.Generator) -> Tensor:
    batch, shape = image.shape[0], (-1, 1, 1, 1, 1)
    gain = 1.0 + uniform(batch, _LARGEST_GAIN * strength, random)
    shift = uniform(batch, _LARGEST_SHIFT * strength, random)
    level = torch.rand(batch, generator=random) * _LARGEST_NOISE * strength
    noise = torch.randn(image.shape, generator=random)
    gain, shift, level = (value.view(shape).to(image.device) for value in (gain, shift, level))
    return image * gain + shift + level * noise.to(image.device)
