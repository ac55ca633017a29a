"""Lets a task's network learn from images without labels, by filling in what is hidden of them.

The result is a version of source `pretrained`: it draws nothing and is never served; trainings start from it by name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ..errors import InvalidInputError
from ..models.store import ModelStore
from ..models.version import PRETRAINED, ModelVersion
from ..networks.devices import resolve_device
from ..networks.factory import size_multiple
from ..task import TaskSpec, TrainerOptions
from .cache import CachedVolume, VolumeCache
from .cases import Case
from .fitting import Fitted, Fitting
from .gathering import gathered, own_gpu
from .hiding import Hiding
from .lesson import Cancelled, Progress, stop_if
from .patches import PatchSampler, fitting_patch
from .pool import usable
from .reconstruction import FILLED, HiddenError, filled, reconstructing
from .splits import SplitStore
from .training import only_training

_COMPARED_SHARE = 0.1
_PREPARED_AT = 0.1


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """The outcome.

    Attributes:
        version: To start trainings from.
        filled: Share of the hidden contrast that it fills in, of images it did not learn from; see `filled`.
        images: How many it learned from.
        epochs: How many there were.
        seconds: In all.
    """

    version: ModelVersion
    filled: float
    images: int
    epochs: int
    seconds: float


def pretrain(
    pool: Sequence[Case],
    *,
    spec: TaskSpec,
    models: ModelStore,
    splits: SplitStore,
    work_dir: Path,
    options: TrainerOptions | None = None,
    device: str = "auto",
    progress: Progress = lambda fraction, text: None,
    cancelled: Cancelled = lambda: False,
    checkpoint_every_s: float = 60.0,
) -> Pretrained:
    """Learn from images, and store the network.

    Args:
        pool: Images; those of patients that trainings of the task are measured on are left out.
        spec: The task.
        models: Where the version goes.
        splits: Which patient is in which part of the task's split.
        work_dir: For prepared images and the checkpoint, from which the same call goes on.
        options: Instead of `spec.trainer`; what concerns labels does not count.
        device: As `networks.devices.resolve_device` takes it.
        progress: Told a fraction and a phrase.
        cancelled: Asked between steps.
        checkpoint_every_s: How often a checkpoint is written within an epoch.

    Raises:
        InvalidInputError: If the task draws nothing by itself, or there are fewer than two images.
        BusyError: If another training works in the same folder.
        CancelledError: If `cancelled` answers true; a checkpoint is left.
    """
    started = time.monotonic()
    options = replace(options or spec.trainer, layer_decay=1.0, head_epochs=0, unlabelled_weight=0.0)
    learned = usable(pool, labelled=(), parts=splits.get(spec.name), seed=options.seed)
    _check(spec, learned)
    with only_training(work_dir, task=spec.name):
        cache = VolumeCache(work_dir / "volumes", spec)
        volumes = []
        for case in learned:
            stop_if(cancelled)
            volumes.append(cache.get(case))
            done = len(volumes) / len(learned)
            progress(_PREPARED_AT * done, f"prepared {len(volumes)} of {len(learned)} images")
        cache.prune(learned)
        work = _Pretraining(spec, options, volumes, own_gpu(resolve_device(device)), work_dir)
        fitted = work.fit(
            lambda fraction, text: progress(_PREPARED_AT + (0.99 - _PREPARED_AT) * fraction, text),
            cancelled,
            checkpoint_every_s,
        )
        version = models.add(
            spec.name,
            work.weights(fitted),
            fingerprint=spec.fingerprint(),
            labels=spec.labels.indices,
            task_spec=spec.to_json(),
            data={
                "unlabelled": [{"image_id": case.image_id, "revision": case.revision} for case in learned],
                "trained_labels": [],
                "options": asdict(options),
            },
            source=PRETRAINED,
        )
    work.checkpoint.unlink(missing_ok=True)
    progress(1.0, f"stored {version.version}")
    best = fitted.history[fitted.best_epoch - 1].dice
    return Pretrained(
        version=version,
        filled=best or 0.0,
        images=len(work.learned),
        epochs=len(fitted.history),
        seconds=time.monotonic() - started,
    )


class _Pretraining:
    """The network and its images; the last of these are for comparing epochs."""

    def __init__(
        self,
        spec: TaskSpec,
        options: TrainerOptions,
        volumes: Sequence[CachedVolume],
        device: torch.device,
        work_dir: Path,
    ) -> None:
        compared = max(1, round(_COMPARED_SHARE * len(volumes)))
        self.learned, self._compared = volumes[:-compared], volumes[-compared:]
        self.checkpoint = work_dir / "checkpoint.safetensors"
        self._spec, self._options, self._device = spec, options, device
        self._hiding = Hiding()
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self._network = reconstructing(spec).to(device)

    def fit(self, progress: Progress, cancelled: Cancelled, checkpoint_every_s: float) -> Fitted:
        """Train it."""
        compared = self._sampler(self._compared)
        with gathered(self._options, self._device, cancelled=cancelled) as peers:
            return Fitting(
                network=self._network,
                spec=self._spec,
                options=self._options,
                sampler=self._sampler(self.learned),
                loss=HiddenError(),
                validate=lambda network: {
                    FILLED: filled(network, compared, spec=self._spec, hiding=self._hiding, device=self._device)
                },
                change=self._hiding,
                metric="filled",
                device=self._device,
                checkpoint=self.checkpoint,
                checkpoint_every_s=checkpoint_every_s,
                identity=self._identity(),
                build=reconstructing,
                peers=peers,
                on_epoch=lambda epoch: None,
                progress=progress,
                cancelled=cancelled,
            ).run()

    def weights(self, fitted: Fitted) -> dict[str, torch.Tensor]:
        """The task's network at its best, with the first weights in its last layer."""
        self._network.load_state_dict(fitted.best_state)
        self._network.forget_output()
        return {name: value.detach().cpu() for name, value in self._network.network.state_dict().items()}

    def _sampler(self, volumes: Sequence[CachedVolume]) -> PatchSampler:
        spec = self._spec
        patch = fitting_patch(
            self.learned,
            wanted=self._options.patch_voxels,
            multiple=size_multiple(spec),
            dimension=spec.dimension,
        )
        return PatchSampler(volumes, spec=spec, patch_voxels=patch)

    def _identity(self) -> str:
        decisive = {
            "fingerprint": self._spec.fingerprint(),
            "options": asdict(replace(self._options, processes=1)),
            "images": [volume.image_id for volume in (*self.learned, *self._compared)],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _check(spec: TaskSpec, learned: Sequence[Case]) -> None:
    if spec.kind != "segmentation":
        raise InvalidInputError(
            f"A task to pretrain must be a segmentation, got '{spec.name}' of kind '{spec.kind}'. Train it from labels."
        )
    if len(learned) < 2:
        raise InvalidInputError(
            f"Pretraining '{spec.name}' must have two images or more of patients that are not measured on, got "
            f"{len(learned)}. Give a folder with more."
        )
