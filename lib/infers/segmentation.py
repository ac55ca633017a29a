"""Drafts a segmentation: as a pure function, and as the task that MONAI Label clients know."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from torch import nn

from ..datastores.port import ImageStore
from ..errors import InvalidInputError, NoModelError
from ..geometry import Volume
from ..label_maps import flatten, keep_only
from ..models.public_weights import import_public
from ..models.store import ModelStore
from ..models.version import ModelVersion
from ..networks.devices import resolve_device
from ..networks.factory import build_network
from ..preprocessing import Prepared, prepare
from ..task import TaskSpec
from .draft import Cancelled, Draft, Drafter, Progress, timed
from .options import overlap_of
from .sliding_window import predict

_NETWORK_FROM, _NETWORK_TO = 0.1, 0.95


def segment(
    image: Volume,
    *,
    spec: TaskSpec,
    network: nn.Module,
    device: str = "auto",
    overlap: float | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    timings: MutableMapping[str, float] | None = None,
    guide: Callable[[Prepared], Prepared] | None = None,
) -> Volume:
    """Segment one image.

    Args:
        image: `(X, Y, Z)` intensities, any orientation and spacing.
        spec: The task.
        network: Its network with weights; moved to `device`.
        device: As in `predict`.
        overlap: Overrides the task's.
        progress: Told the share of windows done.
        cancelled: Asked between windows.
        timings: Filled with the seconds of `prepare`, `network` and `finalise`.
        guide: Adds channels to the prepared image, such as clicks.

    Returns:
        Label map on the image's grid exactly.

    Raises:
        CarinaError: As `preprocessing.prepare` and `predict` do.
    """
    timings = {} if timings is None else timings
    with timed(timings, "prepare"):
        prepared = prepare(image, spec)
        if guide is not None:
            prepared = guide(prepared)
    return predict(
        network,
        prepared,
        spec=spec,
        device=device,
        overlap=overlap,
        progress=progress,
        cancelled=cancelled,
        timings=timings,
    )


class SegmentationInfer(Drafter):
    """One task's face to MONAI Label: answers `/info` and `/infer/<task>`.

    Thread-safe: one lock per task lets one inference run at a time and guards the loaded network. A newly promoted
    version is noticed at the next request: a fresh network is built and filled, then takes the old one's place.

    Args:
        spec: The task.
        models: Where its versions are.
        store: Where image ids are looked up; None if requests always name a local path.
        device: Default of requests that name none.
    """

    def __init__(
        self, spec: TaskSpec, models: ModelStore, store: ImageStore | None = None, *, device: str = "auto"
    ) -> None:
        super().__init__(spec, store)
        self._models = models
        self._device = device
        self._loaded: tuple[ModelVersion, nn.Module] | None = None
        self._lock = threading.Lock()

    def info(self) -> dict[str, Any]:
        """What `/info` says of the task; with the version that is served, None before the first."""
        served = self._models.served(self.spec.name)
        state = f"model {served.version}" if served else "no model yet"
        return {
            **super().info(),
            "description": f"{self.spec.description} ({state})",
            "version": served.version if served else None,
        }

    def draft(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Draft:
        """Run the task on one image.

        Args:
            request: `image`: an image id, or a `Path` that the server itself made (text is never taken for a path).
                Options: `model_version`, `device`, `overlap` or `quality`, `labels` (names, or one text with commas).
            progress: Told a fraction and a phrase.
            cancelled: Asked between windows.

        Raises:
            NoModelError: If the task has no model.
            LabelError: If `labels` names one that the task does not have.
            InvalidInputError: If an option makes no sense.
            CarinaError: As reading the image, `preprocessing.prepare` and `predict` do.
        """
        tell = progress or (lambda fraction, phrase: None)
        names = _names(request.get("labels"), self.spec)
        device = resolve_device(str(request.get("device") or self._device))
        timings: dict[str, float] = {}
        tell(0.0, "fetching the image")
        with timed(timings, "fetch"):
            image, series = self._read(request.get("image"))
        tell(_NETWORK_FROM, "preparing")
        with self._lock:
            version, network = self._network(request.get("model_version"))
            label = segment(
                image,
                spec=self.spec,
                network=network,
                device=str(device),
                overlap=overlap_of(request),
                progress=lambda done, phrase: tell(_NETWORK_FROM + (_NETWORK_TO - _NETWORK_FROM) * done, phrase),
                cancelled=cancelled,
                timings=timings,
                guide=self._guide(request),
            )
        tell(_NETWORK_TO, "writing the result")
        wanted = {name: index for name, index in self.spec.labels.indices.items() if name in names}
        if len(wanted) < len(self.spec.labels):
            label = Volume(keep_only(label.array, names, self.spec.labels), label.grid)
        return Draft(
            label,
            Volume(flatten(label.array, self.spec.labels), label.grid),
            series,
            {
                "task": self.spec.name,
                "label_names": wanted,
                "model_version": version.version,
                "model_sha256": version.sha256,
                "device": str(device),
                "timings": timings,
            },
        )

    def _guide(self, request: Mapping[str, Any]) -> Callable[[Prepared], Prepared] | None:
        """What a kind adds to the prepared image; a segmentation nothing."""
        return None

    def _network(self, version_name: object) -> tuple[ModelVersion, nn.Module]:
        """The version asked for, or served, and its network; call with the lock held."""
        version = self.version(version_name)
        if self._loaded is None or (self._loaded[0].version, self._loaded[0].sha256) != (
            version.version,
            version.sha256,
        ):
            network = build_network(self.spec)
            self._models.load_into(network, version, spec=self.spec)
            self._loaded = (version, network.eval())
        return self._loaded

    def version(self, name: object = None) -> ModelVersion:
        """The version of that name; without one the served version, or public weights a user put there.

        Raises:
            UnknownModelError: If there is no such version.
            NoModelError: If the task has no model.
        """
        if name:
            return self._models.get(self.spec.name, str(name))
        version = self._models.served(self.spec.name) or import_public(self._models, self.spec)
        if version is None:
            files = " or ".join(f"'{weights.file_name}' ({weights.source})" for weights in self.spec.weights)
            put = f", or put {files} into {self._models.folder(self.spec.name)}" if files else ""
            raise NoModelError(f"Task '{self.spec.name}' must have a model, got none. Submit labels and train{put}.")
        return version


def _names(wanted: object, spec: TaskSpec) -> frozenset[str]:
    """The labels a request asks for; all without a wish."""
    if not wanted:
        return frozenset(spec.labels.names)
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError("Option 'labels' must be a list of names, or one text with commas.")
    return frozenset(spec.labels.named(name.strip()).name for name in names)
