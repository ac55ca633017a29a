"""What a training did, kept for people: parameters, curves, the gate's decision, pictures and the data manifest.

MLflow 3.17 refuses its plain file store ("maintenance mode"), so runs go to SQLite in the tracking folder and
artifacts into folders beside it; `carina mlflow` shows them. MLflow's usage pings are switched off before it is
imported. Nothing here can fail a training: errors are logged.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

_log = logging.getLogger(__name__)

DATABASE_NAME = "mlflow.sqlite"
_JOB_TAG = "carina.job"  # which job a run belongs to, so that a resumed one goes on in its run
NAME = "name"
"""A tag that gives the run its name."""
NOTE = "note"
"""A tag that is shown as the run's description; Markdown."""

_MLFLOWS_NAMES = {NAME: "mlflow.runName", NOTE: "mlflow.note.content"}
_DEFAULT = "Default"  # MLflow makes an experiment of this name by itself
_PICTURES = "pictures"
_KIND = ("mlflow.experimentKind", "custom_model_development")  # else the pages are laid out for language models
_SILENCED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_SKILLS_PROMPT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


class TrainingRun(Protocol):
    """One training being recorded."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Values by name, such as `loss` or `dice/liver`; those that are not finite are left out."""
        ...

    def log_json(self, name: str, content: Any) -> None:
        """Keep a JSON document, such as the data manifest; the name may hold a folder."""
        ...

    def log_picture(self, path: Path) -> None:
        """Keep a picture file."""
        ...

    def finish(self, *, status: str, tags: Mapping[str, str]) -> None:
        """End the run as `FINISHED`, `FAILED` or `KILLED`; the tags `NAME` and `NOTE` are shown at the top."""
        ...


class Tracking(Protocol):
    """Where trainings are recorded."""

    def start(self, task: str, *, name: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """Begin a run of a task."""
        ...


class NoTracking:
    """Records nothing."""

    def start(self, task: str, *, name: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """A run that forgets."""
        return _ForgottenRun()


class MlflowTracking:
    """Records into MLflow, in one local folder.

    Args:
        folder: `Settings.tracking_dir`.
        job: Whose run it is; a run that an earlier attempt of the job began is gone on with. None: always a new run.
    """

    def __init__(self, folder: Path, *, job: str | None = None) -> None:
        self.folder = folder
        self._job = job

    @property
    def uri(self) -> str:
        """Address of the store, as MLflow takes it."""
        return store_uri(self.folder)

    def start(self, task: str, *, name: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """Begin a run in the experiment named after the task; one that forgets if MLflow fails."""
        recorded: _MlflowRun | None = None
        with logged("start a run"):
            client = self._client()
            experiment = self._experiment(client, task)
            earlier = self._earlier_run(client, experiment)
            if earlier is not None:
                client.update_run(earlier, status="RUNNING")
                return _MlflowRun(client, earlier)
            tags = {"task": task} | ({_JOB_TAG: self._job} if self._job else {})
            run = client.create_run(experiment, run_name=name, tags=tags)
            recorded = _MlflowRun(client, run.info.run_id)
            recorded.log_parameters(parameters)
        return recorded or _ForgottenRun()

    def _client(self) -> Any:
        return open_client(self.folder)

    def _earlier_run(self, client: Any, experiment: str) -> str | None:
        if not self._job:
            return None
        runs = client.search_runs([experiment], f"tags.`{_JOB_TAG}` = '{self._job}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _experiment(self, client: Any, task: str) -> str:
        found = client.get_experiment_by_name(task)
        if found is not None:
            return str(found.experiment_id)
        artifacts = (self.folder / "artifacts" / task).resolve()
        return str(client.create_experiment(task, artifact_location=artifacts.as_uri(), tags=dict([_KIND])))


def store_uri(folder: Path) -> str:
    """Address of the store in a tracking folder, for runs and registry alike."""
    return f"sqlite:///{(folder / DATABASE_NAME).resolve()}"


def silence() -> None:
    """Switch off what MLflow would send or say of its own accord; before it is imported, children included."""
    for variable, value in _SILENCED.items():
        os.environ.setdefault(variable, value)


def open_client(folder: Path) -> Any:
    """MLflow's client of a tracking folder, which is made if it is not there."""
    silence()
    from mlflow.tracking import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=store_uri(folder), registry_uri=store_uri(folder))


def experiments(folder: Path) -> dict[str, str]:
    """Task → id of its experiment in a tracking folder, for those that were trained."""
    found = open_client(folder).search_experiments()
    return {row.name: str(row.experiment_id) for row in found if row.name.isidentifier() and row.name != _DEFAULT}


class _ForgottenRun:
    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        pass

    def log_json(self, name: str, content: Any) -> None:
        pass

    def log_picture(self, path: Path) -> None:
        pass

    def finish(self, *, status: str, tags: Mapping[str, str]) -> None:
        pass


class _MlflowRun:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self._run_id, params=[Param(key, str(value)) for key, value in parameters.items()])

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        with logged("record an epoch"):
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            finite = {key: value for key, value in values.items() if math.isfinite(value)}
            metrics = [Metric(key, value, now, epoch) for key, value in finite.items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def log_json(self, name: str, content: Any) -> None:
        with logged(f"keep {name}"):
            self._client.log_dict(self._run_id, content, name)

    def log_picture(self, path: Path) -> None:
        with logged("keep a picture"):
            self._client.log_artifact(self._run_id, str(path), artifact_path=_PICTURES)

    def finish(self, *, status: str, tags: Mapping[str, str]) -> None:
        with logged("end a run"):
            for key, value in tags.items():
                self._client.set_tag(self._run_id, _MLFLOWS_NAMES.get(key, key), value)
            self._client.set_terminated(self._run_id, status=status)


@contextlib.contextmanager
def logged(what: str) -> Iterator[None]:
    """Log whatever goes wrong inside, and go on: a curve is never worth a model."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 — MLflow, SQLAlchemy, SQLite and the disk each raise their own
        _log.warning("Tracking could not %s: %s: %s", what, type(error).__name__, error)
