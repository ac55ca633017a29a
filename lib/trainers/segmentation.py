"""The lesson of a segmentation: label maps, patches of them, and Dice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..geometry import Volume
from ..models.plausibility import Plausibility
from ..networks.factory import size_multiple
from ..task import TrainerOptions, Voxels
from .augmentation import augment
from .cache import CachedVolume, VolumeCache, evenly
from .cases import Case
from .lesson import Change, Sampler
from .loss import PartialLoss, loss_of, silence_unknown
from .measuring import Measuring
from .overlays import write_overlay
from .patches import PatchSampler, annotated_channels, annotated_names, channels_of, fitting_patch

_MOST_SHAPES = 200


@dataclass(frozen=True, kw_only=True)
class SegmentationLesson(Measuring):
    """See `lesson.Lesson`.

    Attributes:
        options: Of the training.
    """

    options: TrainerOptions
    change: ClassVar[Change] = staticmethod(augment)

    def cache(self, folder: Path) -> VolumeCache:
        """Prepared volumes."""
        return VolumeCache(folder, self.spec)

    def begin(self, network: nn.Module, training: Sequence[CachedVolume], before: Iterable[str] | None) -> PartialLoss:
        """Keep the network from drawing what nothing teaches, and spare what was not annotated."""
        known_before = None if before is None else channels_of(before, self.spec)
        annotated = torch.stack([annotated_channels(volume, self.spec) for volume in training]).any(dim=0)
        known = annotated if known_before is None else annotated | known_before
        silence_unknown(network, known=known, before=known_before)
        focal = self.options.loss == "dice_focal"
        return loss_of(self.spec, present=self._present(training), known=known, focal=focal).to(self.device)

    def sampler(self, training: Sequence[CachedVolume], new: Collection[str] = ()) -> Sampler:
        """Patches of the size the options ask for, or as large as the volumes are."""
        return PatchSampler(
            training,
            spec=self.spec,
            patch_voxels=self._patch_voxels(training),
            favoured=new,
            share=self.options.new_share,
            mirrored=self._mirrored,
        )

    def pool_sampler(self, pool: Sequence[CachedVolume], training: Sequence[CachedVolume]) -> Sampler:
        """Patches from anywhere in the images."""
        return PatchSampler(pool, spec=self.spec, patch_voxels=self._patch_voxels(training), mirrored=self._mirrored)

    def validate(self, network: nn.Module, items: Sequence[CachedVolume]) -> dict[str, float]:
        """Label → mean Dice."""
        return self.dice(network, items)

    def calibration(self, network: nn.Module, validation: Sequence[CachedVolume]) -> Mapping[str, Any]:
        """None: a label map has no probabilities."""
        return {}

    def plausibility(self, training: Sequence[CachedVolume]) -> Plausibility | None:
        """Of the structures that most labels speak of, in the labels that speak of all those."""
        spoken = [annotated_names(volume, self.spec) for volume in training]
        names = [name for name in self.spec.labels.names if 2 * sum(name in named for named in spoken) > len(spoken)]
        whole = [volume for volume, named in zip(training, spoken, strict=True) if named.issuperset(names)]
        chosen = [whole[position] for position in evenly(len(whole), _MOST_SHAPES)]
        return Plausibility.of((volume.truth() for volume in chosen), spec=self.spec, names=names)

    def picture(self, path: Path, case: Case, before: Volume | None, after: Volume) -> None:
        """One slice of a case: served before, candidate, reference."""
        image, truth = case.load()
        panels = [("served before", before)] if before is not None else []
        panels += [("candidate", after), ("reference", truth)]
        write_overlay(path, image, panels, labels=self.spec.labels)

    @property
    def _mirrored(self) -> bool:
        return self.spec.symmetric and self.options.augmentation > 0

    def _patch_voxels(self, training: Sequence[CachedVolume]) -> Voxels:
        return fitting_patch(
            training,
            wanted=self.options.patch_voxels,
            multiple=size_multiple(self.spec),
            dimension=self.spec.dimension,
        )

    def _present(self, training: Sequence[CachedVolume]) -> Tensor:
        """`(channels,)` labels that occur in the training volumes."""
        occurring = {index for volume in training for index in volume.voxels}
        return channels_of((label.name for label in self.spec.labels if label.index in occurring), self.spec)
