"""A network that learns a little more after every round, as a retraining would, and looks at what is left."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..infers.looking import Look, embed_plainly, look
from ..infers.sliding_window import predict
from ..label_maps import mask_of
from ..models.contours import path_to_add
from ..models.weights import save_state
from ..networks.devices import resolve_device
from ..networks.factory import build_network
from ..scoring import ScoringMethod
from ..task import TaskSpec
from ..trainers.cache import CachedVolume
from ..trainers.patches import annotated_names
from ..trainers.rehearsal import rehearse
from ..trainers.segmentation import SegmentationLesson

_BEFORE = 2
"""Of how many rounds before the networks are kept, for a committee."""
_MEMBER = "member-"


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What making a label of a draft takes.

    Attributes:
        voxels: In which the two differ.
        contour: Voxels of outlines that have to be drawn anew, see `contours.added_path_length`.
    """

    voxels: int
    contour: int


class Learner:
    """One network of a task, with first weights that depend on the seed alone.

    Args:
        spec: The task as it is simulated; its `trainer.steps_per_epoch` is one round.
        seed: Of weights, patches and augmentation.
        device: As `networks.devices.resolve_device` takes it.
        cancelled: Asked before every step and window.
    """

    def __init__(self, spec: TaskSpec, *, seed: int, device: str, cancelled: Callable[[], bool]) -> None:
        self._spec = spec
        self._seed = seed
        self._device = resolve_device(device)
        self._cancelled = cancelled
        self._known: frozenset[str] | None = None
        self._before: list[nn.Module] = []
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._network = self._build()

    def _build(self) -> nn.Module:
        return build_network(self._spec).to(self._device).eval()

    def learn(self, volumes: Sequence[CachedVolume], *, number: int, steps: int | None = None) -> None:
        """Train on all labels so far, from where the network stands.

        Args:
            volumes: With their labels; at least one.
            number: Of the round, which decides its random numbers.
            steps: Instead of the task's.

        Raises:
            CancelledError: If `cancelled` answered true.
        """
        spec = self._spec
        if self._known is not None:
            self._before = [*self._before, copy.deepcopy(self._network)][-_BEFORE:]
        options = dataclasses.replace(
            spec.trainer, seed=self._seed * 1000 + number, steps_per_epoch=steps or spec.trainer.steps_per_epoch
        )
        lesson = SegmentationLesson(
            spec=spec, options=options, predict=predict, device=self._device, cancelled=self._cancelled
        )
        rehearse(self._network, volumes, lesson=lesson, steps=options.steps_per_epoch, known=self._known)
        taught = (annotated_names(volume, spec) for volume in volumes)
        self._known = (self._known or frozenset()).union(*taught)

    def look(self, volume: CachedVolume, method: ScoringMethod | None) -> Look:
        """What the network sees in an image; without a round behind it, what the image is like.

        A committee is the network as it is and as it was after the rounds before; after the first there is none yet.
        """
        prepared = volume.prepared()
        if self._known is None:
            return Look(score=None, embedding=embed_plainly(prepared, self._spec), presence={})
        if method is not None and method.sampling == "members" and not self._before:
            method = None
        return look(
            self._network,
            prepared,
            spec=self._spec,
            score=method.score if method else None,
            sampling=method.sampling if method else "once",
            others=self._before,
            device=self._device,
            cancelled=self._cancelled,
        )

    def to_correct(self, volume: CachedVolume) -> Correction:
        """What a person would have to do to a draft; before the first round there is none, and all has to be drawn."""
        truth = np.asarray(volume.label)
        drawn = np.zeros_like(truth) if self._known is None else self._draw(volume)
        return Correction(
            voxels=int(np.count_nonzero(drawn != truth)), contour=path_to_add(drawn, truth, self._spec.labels)
        )

    def measure(self, volumes: Sequence[CachedVolume]) -> dict[str, float]:
        """Label → Dice over all images taken as one; absent where no image shows or is given the label.

        One number over all images, and not the mean of one per image: a structure that few images show would else
        be decided by single voxels drawn in images without it.
        """
        both, total = dict.fromkeys(self._spec.labels.names, 0), dict.fromkeys(self._spec.labels.names, 0)
        for volume in volumes:
            drawn, truth = self._draw(volume), np.asarray(volume.label)
            for label in self._spec.labels:
                if volume.annotated is not None and label.name not in volume.annotated:
                    continue
                found, there = (mask_of(array, label, self._spec.labels) for array in (drawn, truth))
                both[label.name] += int(np.count_nonzero(found & there))
                total[label.name] += int(np.count_nonzero(found)) + int(np.count_nonzero(there))
        return {name: 2 * both[name] / total[name] for name in total if total[name]}

    def save(self, path: Path) -> None:
        """Keep weights and what they know."""
        known = torch.tensor([label.name in (self._known or ()) for label in self._spec.labels])
        content: dict[str, Tensor] = {**self._network.state_dict(), "known": known}
        for number, network in enumerate(self._before):
            content |= {f"{_MEMBER}{number}.{name}": tensor for name, tensor in network.state_dict().items()}
        save_state(path, content)

    def restore(self, path: Path) -> None:
        """Go on from `save`."""
        content = load_file(path, device=str(self._device))
        known = content.pop("known").tolist()
        self._known = frozenset(label.name for label, one in zip(self._spec.labels, known, strict=True) if one)
        self._before = []
        while earlier := _taken(content, f"{_MEMBER}{len(self._before)}."):
            self._before.append(self._build())
            self._before[-1].load_state_dict(earlier)
        self._network.load_state_dict(content)

    def _draw(self, volume: CachedVolume) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        drawn = predict(
            self._network, volume.prepared(), spec=self._spec, device=self._device, cancelled=self._cancelled
        )
        return drawn.array


def _taken(content: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What has a prefix, taken out and without it."""
    names = [name for name in content if name.startswith(prefix)]
    return {name.removeprefix(prefix): content.pop(name) for name in names}
