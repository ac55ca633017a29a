"""Drafts a segmentation: as a pure function, and as the task that MONAI Label clients know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any

from torch import nn

from ..errors import InvalidInputError
from ..geometry import Volume
from ..label_maps import flatten, keep_only
from ..networks.devices import resolve_device
from ..networks.factory import answering_quickly
from ..preprocessing import Prepared, prepare
from ..task import TaskSpec
from .draft import Cancelled, Draft, Loaded, Progress, timed
from .network_drafter import NetworkDrafter
from .options import QUICK, overlap_of
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
    prepared: Prepared | None = None,
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
        prepared: The image as `preprocessing.prepare` gives it, if that is there already.

    Returns:
        Label map on the image's grid exactly.

    Raises:
        CarinaError: As `preprocessing.prepare` and `predict` do.
    """
    timings = {} if timings is None else timings
    with timed(timings, "prepare"):
        prepared = prepared or prepare(image, spec)
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


class SegmentationInfer(NetworkDrafter):
    """One task's face to MONAI Label: answers `/info` and `/infer/<task>` with a label map."""

    def draft(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Draft:
        """Run the task on one image.

        Args:
            request: `image`: an image id, a `Path` that the server itself made (text is never taken for a path), or
                what `load` gave. Options: `model_version`, `device`, `overlap` or `quality`, `labels` (names, or one
                text with commas).
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
            asked = request.get("image")
            image, series = self._read(asked)
        tell(_NETWORK_FROM, "preparing")
        with self._lock:
            version, network = self._network(request.get("model_version"))
            with answering_quickly(network, self.spec) if request.get("quality") == QUICK else nullcontext():
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
                    prepared=asked.prepared if isinstance(asked, Loaded) else None,
                )
            with timed(timings, "judge"):
                verdict = self._verdict(version, label)
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
                **({} if verdict is None else {"plausibility": verdict.to_json()}),
            },
        )

    def load(self, image: object) -> Loaded:
        """Read an image and prepare it, for a later `draft`; several threads may.

        Args:
            image: As in `draft`.

        Raises:
            CarinaError: As reading the image and `preprocessing.prepare` do.
        """
        volume, series = self._read(image)
        return Loaded(volume, series, prepare(volume, self.spec))

    def label_of(
        self,
        image: Volume,
        *,
        model_version: str | None = None,
        device: str = "auto",
        cancelled: Cancelled | None = None,
    ) -> Volume:
        """The label map of an image that is there already, for tasks that build on this one.

        Args:
            image: As in `segment`.
            model_version: Which version draws; the served one by default.
            device: As in `predict`.
            cancelled: Asked between windows.

        Raises:
            NoModelError: If the task has no model.
            CarinaError: As `segment` does.
        """
        with self._lock:
            _, network = self._network(model_version)
            return segment(image, spec=self.spec, network=network, device=device, cancelled=cancelled)

    def _guide(self, request: Mapping[str, Any]) -> Callable[[Prepared], Prepared] | None:
        """What a kind adds to the prepared image; a segmentation nothing."""
        return None


def _names(wanted: object, spec: TaskSpec) -> frozenset[str]:
    """The labels a request asks for; all without a wish."""
    if not wanted:
        return frozenset(spec.labels.names)
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError("Option 'labels' must be a list of names, or one text with commas.")
    return frozenset(spec.labels.named(name.strip()).name for name in names)
