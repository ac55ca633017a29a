"""Strong random changes of radiographs: what differs between patients, postures, detectors and processings.

A radiograph is seen whole, and a few dozen of them must stand for all there are; each is changed in every step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .resampling import about, resample, uniform

_MOVED_SHARE = 0.8
_LARGEST_ANGLE = math.radians(12.0)
_LARGEST_SCALING = 0.15
_LARGEST_SHEAR = 0.1
_LARGEST_SHIFT = 0.1
_LARGEST_GAMMA = 0.4
_LARGEST_GAIN = 0.25
_LARGEST_BRIGHTNESS = 0.2
_LARGEST_NOISE = 0.1
_NOISY_SHARE = 0.5
_BLURRED_SHARE = 0.3
_BLUR_SIGMA = 1.5
_COVERED_SHARE = 0.3
_SMALLEST_COVER, _LARGEST_COVER = 0.05, 0.3
_WAVES = 5
_LARGEST_BEND = 0.03
_LARGEST_CLOUD = 0.8
_CLOUDY_SHARE = 0.5
_AS_SAMPLES = (-1, 1, 1, 1, 1)


def change_picture(
    image: Tensor, label: Tensor, *, random: torch.Generator, strength: float = 1.0, clouds: bool = True
) -> tuple[Tensor, Tensor]:
    """Move, shear and bend the page, change its grey values, cloud, blur and cover it; every sample on its own.

    Args:
        image: `(B, 1, X, Y, 1)` float32 in about [-1, 1].
        label: `(B, 1, X, Y, 1)` label map.
        random: A generator on the CPU; it decides everything.
        strength: Scales every change.
        clouds: Whether brightness may change from place to place: not where the labels are opacities.

    Returns:
        Both, same shapes and types; the label's values are a subset of the given ones.
    """
    image, label = _move(image, label, random=random, strength=strength)
    image = _regrade(image, random=random, strength=strength)
    image = _cloud(image, random=random, strength=strength) if clouds else image
    image = _blur(image, random=random, strength=strength)
    image = _cover(image, random=random, strength=strength)
    return _roughen(image, random=random, strength=strength), label


def _move(image: Tensor, label: Tensor, *, random: torch.Generator, strength: float) -> tuple[Tensor, Tensor]:
    batch = image.shape[0]
    turned = about(2, uniform(batch, _LARGEST_ANGLE * strength, random))
    sheared, scaled = torch.eye(3).repeat(2, batch, 1, 1)
    sheared[:, 0, 1] = uniform(batch, _LARGEST_SHEAR * strength, random)
    for axis in (0, 1):
        scaled[:, axis, axis] = 1.0 + uniform(batch, _LARGEST_SCALING * strength, random)
    moves = torch.zeros(batch, 3)
    for axis in (0, 1):
        moves[:, axis] = uniform(batch, _LARGEST_SHIFT * strength, random)
    where = torch.rand(batch, generator=random) < _MOVED_SHARE
    extent = torch.tensor([float(size) for size in image.shape[2:]])
    across, down = (_waves(image, random=random) * (_LARGEST_BEND * strength) for _ in range(2))
    bends = torch.stack([across, down, torch.zeros_like(across)], dim=-1)[:, 0]
    return resample(image, label, turned @ sheared @ scaled, moves, extent=extent, where=where, bends=bends)


def _waves(image: Tensor, *, random: torch.Generator) -> Tensor:
    """`(B, 1, X, Y, 1)` a smooth field over each image, in about [-1, 1]."""
    coarse = torch.rand(len(image), 1, _WAVES, _WAVES, generator=random) * 2 - 1
    return functional.interpolate(coarse, size=image.shape[2:4], mode="bicubic", align_corners=True)[..., None]


def _cloud(image: Tensor, *, random: torch.Generator, strength: float) -> Tensor:
    """Brighten parts of some of them and darken others, as opacities, scatter and a tilted grid do."""
    batch = image.shape[0]
    level = torch.rand(batch, generator=random) * _LARGEST_CLOUD * strength
    level = level * (torch.rand(batch, generator=random) < _CLOUDY_SHARE)
    return image + (level.view(_AS_SAMPLES) * _waves(image, random=random)).to(image.device)


def _regrade(image: Tensor, *, random: torch.Generator, strength: float) -> Tensor:
    """Another gamma, contrast and brightness, as of another exposure and processing."""
    batch = image.shape[0]
    gamma = uniform(batch, _LARGEST_GAMMA * strength, random).exp()
    gain = 1.0 + uniform(batch, _LARGEST_GAIN * strength, random)
    shift = uniform(batch, _LARGEST_BRIGHTNESS * strength, random)
    gamma, gain, shift = (value.view(_AS_SAMPLES).to(image.device) for value in (gamma, gain, shift))
    graded = ((image.clamp(-1, 1) + 1) / 2).pow(gamma) * 2 - 1
    return graded * gain + shift


def _blur(image: Tensor, *, random: torch.Generator, strength: float) -> Tensor:
    """Some of them less sharp, or sharper, than they are."""
    batch = image.shape[0]
    share = uniform(batch, 1.0, random) * strength * (torch.rand(batch, generator=random) < _BLURRED_SHARE)
    where = share != 0
    if not where.any():
        return image
    offsets = torch.arange(-3, 4, device=image.device)
    bell = torch.exp(-0.5 * (offsets / _BLUR_SIGMA) ** 2)
    bell = (bell / bell.sum()).to(image.dtype)
    page = functional.pad(image[where.to(image.device), ..., 0], (3, 3, 3, 3), mode="replicate")
    soft = functional.conv2d(functional.conv2d(page, bell.view(1, 1, 7, 1)), bell.view(1, 1, 1, 7))[..., None]
    changed = image.clone()
    kept = share[where].clamp(-0.5, 1.0).view(_AS_SAMPLES).to(image.device)
    changed[where.to(image.device)] += kept * (soft - changed[where.to(image.device)])
    return changed


def _cover(image: Tensor, *, random: torch.Generator, strength: float) -> Tensor:
    """A rectangle of one grey value over some of them: what lies under a device or beyond a collimator is known too."""
    changed = image.clone()
    for sample in changed[:, 0, :, :, 0]:
        wanted, grey, *ends = torch.rand(6, generator=random).tolist()
        if wanted >= _COVERED_SHARE:
            continue
        box = []
        for size, at, long in zip(sample.shape, ends[::2], ends[1::2], strict=True):
            share = (_SMALLEST_COVER + long * (_LARGEST_COVER - _SMALLEST_COVER)) * min(1.0, strength)
            length = max(1, round(share * size))
            start = round(at * (size - length))
            box.append(slice(start, start + length))
        sample[tuple(box)] = 2 * grey - 1
    return changed


def _roughen(image: Tensor, *, random: torch.Generator, strength: float) -> Tensor:
    batch = image.shape[0]
    level = torch.rand(batch, generator=random) * _LARGEST_NOISE * strength
    level = level * (torch.rand(batch, generator=random) < _NOISY_SHARE)
    noise = torch.randn(image.shape, generator=random)
    return image + level.view(_AS_SAMPLES).to(image.device) * noise.to(image.device)
