"""What every kind with a network shares: the version that is served, loaded once and noticed anew when it changes."""

from __future__ import annotations

import threading
from typing import Any

from torch import nn

from ..datastores.port import ImageStore
from ..errors import NoModelError
from ..geometry import Volume
from ..models.loading import load_into
from ..models.plausibility import Plausibility, plausibility_of
from ..models.public_weights import import_public
from ..models.store import ModelStore
from ..models.verdict import Verdict
from ..models.version import ModelVersion
from ..networks.factory import build_network
from ..task import TaskSpec
from .draft import Drafter


class NetworkDrafter(Drafter):
    """A task with a network.

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
        self._judge: tuple[str, Plausibility | None] | None = None
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

    def _network(self, version_name: object) -> tuple[ModelVersion, nn.Module]:
        """The version asked for, or served, and its network; call with the lock held."""
        version = self.version(version_name)
        if self._loaded is None or (self._loaded[0].version, self._loaded[0].sha256) != (
            version.version,
            version.sha256,
        ):
            network = build_network(self.spec)
            load_into(network, version, spec=self.spec)
            self._loaded = (version, network.eval())
        return self._loaded

    def _verdict(self, version: ModelVersion, label: Volume) -> Verdict | None:
        """Whether a draft looks like what the version learned from; None if that is not known. With the lock held."""
        if self._judge is None or self._judge[0] != version.version:
            self._judge = (version.version, plausibility_of(version))
        usual = self._judge[1]
        return None if usual is None else usual.judge(label, self.spec.labels)

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
