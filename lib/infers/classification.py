"""Tells which findings an image has: as a pure function, and as the task that MONAI Label clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..geometry import Volume
from ..models.calibration import Calibration, State
from ..networks.devices import resolve_device
from ..networks.whole_image import image_logits
from ..preprocessing import Prepared, prepare
from ..task import TaskSpec
from .draft import Cancelled, Draft, Progress, timed
from .heat_map import heat_map
from .lungs import Lungs
from .network_drafter import NetworkDrafter
from .options import LIKELIEST, LUNGS
from .regions import Region, region_around

_MARKED = 0.5


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of one finding.

    Attributes:
        idx: Output of the network.
        label: Name.
        score: Calibrated probability, 0–1.
        state: What the conformal set leaves possible.
        coverage: Share of images whose set holds the truth.
        calibrated: Whether there were enough validation images to calibrate with.
    """

    idx: int
    label: str
    score: float
    state: State
    coverage: float
    calibrated: bool


def tell(
    prepared: Prepared, *, spec: TaskSpec, network: nn.Module, calibration: Calibration, device: torch.device
) -> tuple[Told, ...]:
    """What a network says of one image, in the order of the task's findings.

    Args:
        prepared: The image.
        spec: The task.
        network: Its network, on `device`.
        calibration: Of the network's version.
        device: Where the network is.
    """
    logits = image_logits(network, [prepared.tensor], spec=spec, device=device)[0]
    return _told(logits, spec=spec, calibration=calibration)


def _told(logits: Tensor, *, spec: TaskSpec, calibration: Calibration) -> tuple[Told, ...]:
    values = logits.double().numpy()
    told = []
    for label in spec.labels:
        one = calibration.of(label.name)
        probability = float(one.probability(values[label.index - 1 : label.index])[0])
        told.append(
            Told(
                idx=label.index - 1,
                label=label.name,
                score=probability,
                state=one.state(probability),
                coverage=one.coverage,
                calibrated=one.fitted,
            )
        )
    return tuple(told)


class ClassificationInfer(NetworkDrafter):
    """One task's face to MONAI Label: answers `/infer/<task>` with probabilities, and with marks for those who draw.

    The label map marks, with the finding's label index, where the heat of the finding asked for is at least half its
    maximum; without one, of the findings that are `positive`. It is a suggestion, not a segmentation.
    """

    def draft(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Draft:
        """Run the task on one image.

        Args:
            request: `image` as in `Drafter.draft`. Options: `model_version`, `device`, `heatmap` (a finding, or
                `likeliest`), `roi` (`lungs` looks at the part that the served `cxr_anatomy` calls lungs).
            progress: Told a fraction and a phrase.
            cancelled: Asked between windows.

        Returns:
            A draft whose `params` hold `prediction`, a list as MONAI Label's classifiers give it (`idx`, `label`,
            `score`), each with `state`, `coverage` and `calibrated`.

        Raises:
            NoModelError: If the task, or for `roi` the anatomy, has no model.
            LabelError: If `heatmap` names a finding that the task does not have.
            InvalidInputError: If an option makes no sense.
            CarinaError: As reading the image and `preprocessing.prepare` do.
        """
        answer = self.answer(request, progress=progress, cancelled=cancelled)
        return Draft(answer.marks, answer.marks, answer.series, answer.params)

    def answer(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Answer:
        """As `draft`, with the heat itself; arguments and errors are the same."""
        tell_progress = progress or (lambda fraction, phrase: None)
        asked = request.get("heatmap")
        if asked and asked != LIKELIEST:
            self.spec.labels.named(str(asked))
        device = resolve_device(str(request.get("device") or self._device))
        timings: dict[str, float] = {}
        tell_progress(0.0, "fetching the image")
        with timed(timings, "fetch"):
            image, series = self._read(request.get("image"))
        region = None
        if request.get("roi") == LUNGS:
            tell_progress(0.1, "finding the lungs")
            with timed(timings, "roi"):
                region = region_around(self._lungs.mask(image, device=str(device), cancelled=cancelled), image.grid)
        tell_progress(0.5, "looking at the image")
        with self._lock:
            version, network = self._network(request.get("model_version"))
            network.to(device).eval()
            with timed(timings, "prepare"):
                prepared = prepare(region.crop(image) if region else image, self.spec)
            with timed(timings, "network"):
                told = tell(
                    prepared,
                    spec=self.spec,
                    network=network,
                    calibration=Calibration.from_json(version.calibration),
                    device=device,
                )
            wanted = _shown(told, asked)
            with timed(timings, "heatmap"):
                heats = {name: self._heat(network, prepared, name, device, region) for name in wanted}
        params = {
            "task": self.spec.name,
            "label_names": {name: self.spec.labels.indices[name] for name in wanted},
            "prediction": [asdict(one) for one in told],
            "roi": LUNGS if region else "image",
            "model_version": version.version,
            "model_sha256": version.sha256,
            "device": str(device),
            "timings": timings,
        }
        return Answer(image=image, told=told, heats=heats, series=series, params=params, spec=self.spec)

    def prepared(self, image: object, *, roi: object = None) -> Prepared:
        """Read an image and make it ready for `tell_all`; several threads may.

        Args:
            image: As in `Drafter.draft`.
            roi: As in `draft`.

        Raises:
            NoModelError: If `roi` needs the anatomy, which has no model.
            CarinaError: As reading the image and `preprocessing.prepare` do.
        """
        volume, _ = self._read(image)
        region = region_around(self._lungs.mask(volume, device=self._device), volume.grid) if roi == LUNGS else None
        return prepare(region.crop(volume) if region else volume, self.spec)

    def tell_all(self, prepared: Sequence[Prepared], *, model_version: object = None) -> list[tuple[Told, ...]]:
        """What is said of several images, those of one size with one pass of the network.

        Args:
            prepared: From `prepared`.
            model_version: As in `draft`.

        Raises:
            NoModelError: If the task has no model.
        """
        device = resolve_device(self._device)
        with self._lock:
            version, network = self._network(model_version)
            network.to(device)
            calibration = Calibration.from_json(version.calibration)
            return [
                _told(logits, spec=self.spec, calibration=calibration)
                for _, group in groupby(prepared, key=lambda one: one.tensor.shape)
                for logits in image_logits(network, [one.tensor for one in group], spec=self.spec, device=device)
            ]

    def _heat(
        self, network: nn.Module, prepared: Prepared, name: str, device: torch.device, region: Region | None
    ) -> Volume:
        heat = heat_map(network, prepared, spec=self.spec, finding=name, device=device)
        return region.put_back(heat) if region else heat

    @cached_property
    def _lungs(self) -> Lungs:
        return Lungs(self._models, device=self._device)


def _shown(told: Sequence[Told], asked: object) -> list[str]:
    """The findings whose heat is shown: the one asked for, else the positive ones."""
    if asked == LIKELIEST:
        return [max(told, key=lambda one: one.score).label]
    return [str(asked)] if asked else [one.label for one in told if one.state == "positive"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What one image got.

    Attributes:
        image: As read.
        told: In the order of the task's findings.
        heats: Finding → `(X, Y, Z)` float32 heat in [0, 1] on the image's grid.
        series: The DICOM series it belongs to, None for other files.
        params: JSON for the client.
        spec: The task.
    """

    image: Volume
    told: tuple[Told, ...]
    heats: Mapping[str, Volume]
    series: Any
    params: dict[str, Any]
    spec: TaskSpec

    @cached_property
    def marks(self) -> Volume:
        """Label map of where the heat is at least half its maximum; the hottest finding has a voxel."""
        array = np.zeros(self.image.grid.shape, dtype=np.uint8)
        hottest = np.full(array.shape, _MARKED, dtype=np.float32)
        for name, heat in self.heats.items():
            where = heat.array >= hottest
            array[where] = self.spec.labels.indices[name]
            hottest[where] = heat.array[where]
        return Volume(array, self.image.grid)
