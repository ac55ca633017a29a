"""Tells which findings an image has: as a pure function, and as the task that MONAI Label clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..dicom.provenance import Provenance
from ..dicom.sr import place_text, report_text
from ..errors import InvalidInputError
from ..geometry import Volume
from ..measurements import Measurement
from ..models.calibration import Calibration
from ..models.version import ModelVersion
from ..networks.devices import resolve_device
from ..networks.whole_image import image_logits
from ..preprocessing import Prepared, prepare
from ..regions import Place, Region, region_at
from ..task import LUNGS, TaskSpec
from .draft import Cancelled, Draft, Progress, timed
from .heat_map import heat_map
from .network_drafter import NetworkDrafter
from .options import IF_POSSIBLE, LIKELIEST, NO
from .radiograph import Drawing, Radiograph, measured_if_possible, pixel_mm_of
from .told import Told, reported, tell, told_of

if TYPE_CHECKING:
    from ..dicom.series import Series

_MARKED = 0.5


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
                `likeliest`), `roi` (`lungs` looks at the part that the served `cxr_anatomy` calls lungs),
                `measurements` (`auto`: of a radiograph where that task is served; `yes`; `no`). `place`, as from
                `prompts.place_of`, for a task that judges a part of an image.
            progress: Told a fraction and a phrase.
            cancelled: Asked between windows.

        Returns:
            A draft whose `params` hold `prediction`, a list as MONAI Label's classifiers give it (`idx`, `label`,
            `score`), each with `state`, `coverage` and `calibrated`; `measurements` as `Measurement.to_json` gives
            them; and `report`, all of it in sentences.

        Raises:
            NoModelError: If the task, or for `roi` and `measurements` the anatomy, has no model.
            LabelError: If `heatmap` names a finding that the task does not have.
            InvalidInputError: If an option makes no sense, or the task judges a part and was not told which.
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
        radiograph = Radiograph(image, self._drawing, device=str(device), cancelled=cancelled)
        tell_progress(0.1, "finding the part to look at")
        with timed(timings, "roi"):
            region = self._region(image, radiograph, roi=request.get("roi"), place=request.get("place"))
        with timed(timings, "measure"):
            measurements = self._measured(radiograph, series, request.get("measurements") or IF_POSSIBLE)
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
        answer = Answer(
            image=image,
            told=told,
            heats=heats,
            series=series,
            measurements=measurements,
            version=version,
            spec=self.spec,
            place=request.get("place"),
        )
        answer.params.update(
            roi="image" if region is None else LUNGS if self.spec.crop_mm is None else "place",
            device=str(device),
            timings=timings,
        )
        if answer.place is not None:
            answer.params["place"] = answer.place
        return answer

    def prepared(self, image: object, *, roi: object = None) -> Prepared:
        """Read an image and make it ready for `tell_all`; several threads may.

        Args:
            image: As in `Drafter.draft`.
            roi: As in `draft`.

        Raises:
            NoModelError: If `roi` needs the anatomy, which has no model.
            InvalidInputError: If the task judges a part of an image.
            CarinaError: As reading the image and `preprocessing.prepare` do.
        """
        volume, _ = self._read(image)
        region = self._region(volume, Radiograph(volume, self._drawing, device=self._device), roi=roi, place=None)
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
                told_of(logits, spec=self.spec, calibration=calibration)
                for _, group in groupby(prepared, key=lambda one: one.tensor.shape)
                for logits in image_logits(network, [one.tensor for one in group], spec=self.spec, device=device)
            ]

    def _heat(
        self, network: nn.Module, prepared: Prepared, name: str, device: torch.device, region: Region | None
    ) -> Volume:
        heat = heat_map(network, prepared, spec=self.spec, finding=name, device=device)
        return region.put_back(heat) if region else heat

    def _region(self, image: Volume, radiograph: Radiograph, *, roi: object, place: Any) -> Region | None:
        """The part that is looked at; None for all of the image."""
        if self.spec.crop_mm is not None:
            if place is None:
                raise InvalidInputError(
                    f"Task '{self.spec.name}' must be told where to look, got neither a click nor a box. Point at the "
                    f"finding: 'foreground' with a voxel [[i, j, k]], or 'box' with [i0, i1, j0, j1, k0, k1]."
                )
            return region_at(place, image.grid, size_mm=self.spec.crop_mm)
        return radiograph.around_lungs() if self._on_lungs(roi) else None

    def _on_lungs(self, asked: object) -> bool:
        """Whether the lungs are looked at: always by a task that learns on them, else if a request says so."""
        return LUNGS in (self.spec.roi, asked)

    def _measured(self, radiograph: Radiograph, series: Series | None, wanted: str) -> tuple[Measurement, ...]:
        if wanted == IF_POSSIBLE:
            possible = self.spec.dimension == 2 and self._drawing.can()
            return measured_if_possible(radiograph, series) if possible else ()
        return () if wanted == NO else radiograph.measured(pixel_mm=pixel_mm_of(series))

    @cached_property
    def _drawing(self) -> Drawing:
        return Drawing(self._models, device=self._device)


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
        measurements: What was measured on it.
        version: Of the model.
        spec: The task.
        place: The part of the image that was judged; None for all of it.
    """

    image: Volume
    told: tuple[Told, ...]
    heats: Mapping[str, Volume]
    series: Series | None
    measurements: tuple[Measurement, ...]
    version: ModelVersion
    spec: TaskSpec
    place: Place | None = None

    @property
    def provenance(self) -> Provenance:
        """Who says so: the model alone."""
        return Provenance(
            algorithm_type="AUTOMATIC",
            task=self.spec.name,
            model_version=self.version.version,
            model_sha256=self.version.sha256,
        )

    @cached_property
    def params(self) -> dict[str, Any]:
        """JSON for the client; whoever made the answer adds how."""
        findings = reported(self.told, self.spec)
        return {
            "task": self.spec.name,
            "label_names": {name: self.spec.labels.indices[name] for name in self.heats},
            "prediction": [asdict(one) for one in self.told],
            "measurements": [one.to_json() for one in self.measurements],
            "report": report_text(
                findings, provenance=self.provenance, measurements=self.measurements, place=self._judged
            ),
            "model_version": self.version.version,
            "model_sha256": self.version.sha256,
        }

    @property
    def _judged(self) -> str | None:
        return (
            None if self.place is None else place_text(self.place, self.image.grid, in_patient=self.spec.dimension == 3)
        )

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
