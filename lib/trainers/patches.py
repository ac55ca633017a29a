"""Class-balanced patches: every label is met equally often, however small it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..label_maps import exchange_sides
from ..task import TaskSpec, Voxels
from .cache import CachedVolume

_BACKGROUND_SHARE = 0.3
_MIRRORED_SHARE = 0.5

WHOLE = slice(None)
"""Of a batch, all of it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches for one step.

    Attributes:
        image: `(B, 1, x, y, z)` float32.
        label: `(B, 1, x, y, z)` uint8 or int32 label map; of whole images `(B, channels)` float32, 1 for a finding.
        annotated: `(B, channels)` whether the annotator of that patch cared for the label; the background always.
    """

    image: Tensor
    label: Tensor
    annotated: Tensor


class PatchSampler:
    """Draws patches from memory-mapped volumes, reading nothing else of them.

    A label is drawn first (three times in ten the background, or air and bare edges are never learned), then a volume
    that has it, then one of its voxels, then where in the patch that voxel lies: in the middle half along each axis.

    Of an image that several readers labelled, each patch takes the label of one of them by chance: what they disagree
    about is learned to be as likely as it was drawn.

    Args:
        volumes: To draw from; at least one. Those with one image id are readings of one image.
        spec: For its labels.
        patch_voxels: Size of a patch; smaller volumes are filled up with their lowest intensity and background.
        favoured: Images that a share of the patches is taken from, as far as they show what was drawn first.
        share: That share; the rest comes from the others.
        mirrored: Whether about half of the patches are those of the mirrored patient: left and right change places in
            the image, in its label, and in what was annotated (`TaskSpec.symmetric`).
    """

    def __init__(
        self,
        volumes: Sequence[CachedVolume],
        *,
        spec: TaskSpec,
        patch_voxels: Voxels,
        favoured: Collection[str] = (),
        share: float = 0.0,
        mirrored: bool = False,
    ) -> None:
        wanted = frozenset(favoured) if share else frozenset()
        self._favoured = {position for position, volume in enumerate(volumes) if volume.image_id in wanted}
        self._share = share
        self._volumes = volumes
        self._patch = np.array(patch_voxels)
        self._having: dict[int, list[int]] = {}
        self._readings: dict[str, list[int]] = {}
        for position, volume in enumerate(volumes):
            self._readings.setdefault(volume.image_id, []).append(position)
        for readings in self._readings.values():
            first = {index: position for position in reversed(readings) for index in volumes[position].voxels}
            for index, position in first.items():
                self._having.setdefault(index, []).append(position)
        self._foreground = sorted(index for index in self._having if index)
        self._annotated = [annotated_channels(volume, spec) for volume in volumes]
        self._mirrored = mirrored
        self._labels = spec.labels
        self._exchanged = spec.exchanged_channels

    def draw(self, batch_size: int, *, random: np.random.Generator, part: slice = WHOLE) -> Batch:
        """The next batch.

        Args:
            batch_size: Patches in it.
            random: Decides everything; one seed gives one sequence of batches.
            part: Which patches of it to read and return; all are chosen.
        """
        chosen = [self._choose(random) for _ in range(batch_size)]
        mirrored = [self._mirrored and random.random() < _MIRRORED_SHARE for _ in chosen]
        places = zip(chosen[part], mirrored[part], strict=True)
        images, labels, annotated = zip(*(self._read(*place, mirrored=one) for place, one in places), strict=True)
        return Batch(image=torch.stack(images), label=torch.stack(labels), annotated=torch.stack(annotated))

    def _choose(self, random: np.random.Generator) -> tuple[int, NDArray[np.int64]]:
        """A volume's position, and where in it the patch starts."""
        background = not self._foreground or (0 in self._having and random.random() < _BACKGROUND_SHARE)
        index = 0 if background else int(random.choice(self._foreground))
        position = self._one_of(self._having[index], random)
        volume = self._volumes[position]
        voxel = random.choice(volume.voxels[index])
        inside = random.integers(self._patch // 4, np.maximum(self._patch - self._patch // 4, self._patch // 4 + 1))
        readings = self._readings[volume.image_id]
        if len(readings) > 1:
            position = readings[int(random.integers(len(readings)))]
        return position, np.clip(voxel - inside, 0, np.maximum(np.array(volume.grid.shape) - self._patch, 0))

    def _read(self, position: int, start: NDArray[np.int64], *, mirrored: bool) -> tuple[Tensor, Tensor, Tensor]:
        volume = self._volumes[position]
        box = tuple(slice(int(low), int(low + size)) for low, size in zip(start, self._patch, strict=True))
        image = np.asarray(volume.image[box], dtype=np.float32)
        label = np.asarray(volume.label[box])
        annotated = self._annotated[position]
        if mirrored:
            image, label = image[::-1].copy(), exchange_sides(label[::-1], self._labels)
            annotated = annotated[self._exchanged]
        label = label.astype(np.int32) if label.dtype == np.uint16 else label
        missing = [(0, int(size - there)) for size, there in zip(self._patch, image.shape, strict=True)]
        if any(after for _, after in missing):
            image = np.pad(image, missing, constant_values=float(image.min()))
            label = np.pad(label, missing)
        return torch.tensor(image)[None], torch.tensor(label)[None], annotated

    def _one_of(self, positions: list[int], random: np.random.Generator) -> int:
        """A volume of these; favoured ones as often as asked for, but not less often than they would be anyway."""
        favoured = [position for position in positions if position in self._favoured]
        if favoured and len(favoured) < len(positions):
            wanted = random.random() < max(self._share, len(favoured) / len(positions))
            positions = favoured if wanted else [one for one in positions if one not in self._favoured]
        return int(random.choice(positions))


def annotated_names(volume: CachedVolume, spec: TaskSpec) -> set[str]:
    """The labels that the volume's label map speaks about: those annotated, and those drawn all the same."""
    named = spec.labels.names if volume.annotated is None else volume.annotated
    return {label.name for label in spec.labels if label.index in volume.voxels}.union(named)


def annotated_channels(volume: CachedVolume, spec: TaskSpec) -> Tensor:
    """`(channels,)` which output channels the volume's label map speaks about; the background always."""
    return channels_of(annotated_names(volume, spec), spec)


def channels_of(names: Iterable[str], spec: TaskSpec) -> Tensor:
    """`(channels,)` whether a channel is one of these labels; the background, where a task has that channel, always."""
    wanted = set(names)
    flags = [label.name in wanted for label in spec.labels]
    return torch.tensor(flags if spec.labels.overlapping else [True, *flags])


def fitting_patch(volumes: Sequence[CachedVolume], *, wanted: Voxels, multiple: int, dimension: int) -> Voxels:
    """The patch size for these volumes: as wanted, but no larger than the largest of them needs.

    Args:
        volumes: To draw from.
        wanted: `TrainerOptions.patch_voxels`.
        multiple: What the network's input sizes must be divisible by.
        dimension: 2 or 3; in 2 the last size is 1.
    """
    largest = np.max([volume.grid.shape for volume in volumes], axis=0).tolist()
    sizes = [_up(min(size, _up(there, multiple)), multiple) for size, there in zip(wanted, largest, strict=True)]
    return sizes[0], sizes[1], (1 if dimension == 2 else sizes[2])


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
