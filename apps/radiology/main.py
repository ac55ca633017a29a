"""The radiology app for monailabel's own loader: the same services, tasks and strategies the carina server uses.

The server of carina (`carina up`) answers MONAI Label's protocol by itself and is what to use. This app is for tools
that load an app folder, such as `python -m monailabel.interfaces.utils.app --app apps/radiology --studies … -m infer`.
`conf` may hold `pacs_user`; its password comes from `CARINA_PACS_PASSWORD`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from carina.server import compat

compat.install()

from monailabel.interfaces.app import MONAILabelApp  # noqa: E402
from monailabel.interfaces.datastore import Datastore  # noqa: E402
from monailabel.interfaces.tasks.infer_v2 import InferTask  # noqa: E402
from monailabel.interfaces.tasks.strategy import Strategy  # noqa: E402
from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402

from carina import __version__  # noqa: E402  monailabel below needs compat first
from carina.infers.kinds import build_drafter  # noqa: E402
from carina.server.activelearning import choose_next  # noqa: E402
from carina.server.background import task_dictionary  # noqa: E402
from carina.server.info import app_info, trainer_info  # noqa: E402
from carina.server.monai_datastore import CarinaDatastore  # noqa: E402
from carina.server.services import Services, build_services  # noqa: E402
from carina.server.tickets import InferenceRequest  # noqa: E402
from carina.server.training import start_training  # noqa: E402
from carina.server.uploads import temporary_root  # noqa: E402
from carina.settings import Settings  # noqa: E402
from carina.strategies import Strategy as CarinaStrategy  # noqa: E402
from carina.task import TaskSpec  # noqa: E402


class RadiologyApp(MONAILabelApp):
    """Every task of carina on one image store.

    Args:
        app_dir: This folder.
        studies: As `carina.datastores.port.open_store` takes it.
        conf: `pacs_user`, if the PACS wants a login.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str] | None = None) -> None:
        conf = dict(conf or {})
        user = conf.get("pacs_user")
        credentials = (user, os.environ.get("CARINA_PACS_PASSWORD", "")) if user else None
        self.services: Services = build_services(Settings(), studies, credentials=credentials)
        super().__init__(app_dir, studies, conf, name="carina", version=__version__)

    def init_datastore(self) -> Datastore:
        """Carina's images and annotations."""
        return CarinaDatastore(self.services, temporary_root(self.services.settings))

    def init_infers(self) -> dict[str, InferTask]:
        """Every task."""
        return {
            spec.name: build_drafter(spec, self.services.models, self.services.store) for spec in self.services.tasks
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        """Every task; trainings run as jobs."""
        return {spec.name: _Trainer(self.services, spec) for spec in self.services.tasks if spec.learns}

    def init_strategies(self) -> dict[str, Strategy]:
        """Every strategy."""
        return {item.name: _Strategy(self.services, item) for item in self.services.strategies}

    def info(self) -> dict[str, Any]:
        """The same answer as the server's `/info`."""
        return app_info(self.services)

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Draft an image of the datastore, in server mode in a worker process."""
        if not self._server_mode:
            path, params = self._infers[request["model"]](request)
            return {"label": path, "tag": "original", "file": path, "params": params}
        self.services.pool.start()
        folder = temporary_root(self.services.settings)
        folder.mkdir(parents=True, exist_ok=True)
        request_id = uuid.uuid4().hex
        ticket = self.services.pool.submit(
            InferenceRequest(
                request_id=request_id,
                task=self.services.tasks.get(request["model"]).name,
                image=self.services.store.fetch(request["image"]),
                output=folder / f"{request_id}.nii.gz",
            )
        )
        result = ticket.future.result()
        return {"label": str(result.path), "tag": "original", "file": str(result.path), "params": result.params}

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The next image to label."""
        return choose_next(self.services, str(request.get("strategy") or "random"), dict(request))

    def close(self) -> None:
        """Stop workers and connections."""
        self.services.close()

    def _download_dcmqi_tools(self) -> None:
        """Nothing is downloaded: carina writes SEG itself."""


class _Trainer(TrainTask):
    """Starts a job and waits for its end."""

    def __init__(self, services: Services, spec: TaskSpec) -> None:
        super().__init__(trainer_info(spec)["description"])
        self._services = services
        self._spec = spec

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = trainer_info(self._spec)["config"]
        return config

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        job = start_training(self._services, self._spec, request)
        while job.active:
            job = self._services.jobs.wait(job.id, timeout_s=60.0)
        return task_dictionary(self._services, job)


class _Strategy(Strategy):
    """One of carina's strategies."""

    def __init__(self, services: Services, strategy: CarinaStrategy) -> None:
        super().__init__(strategy.description)
        self._services = services
        self._name = strategy.name

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        return choose_next(self._services, self._name, dict(request))
