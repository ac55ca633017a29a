"""MLflow's Model Registry as a mirror of `ModelStore`, for people who look at models in MLflow.

`ModelStore` is the truth. Each task is a registered model, each version a model version with the tag `version` (MLflow
counts in its own way), and the alias `served` follows the pointer. The mirror may be lost, stale or broken at any time:
`sync` brings it back from the store alone, and no training or promotion waits for it. Processes that sync at once take
turns by a lock in the tracking folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from .record import note
from .store import ModelStore
from .tracking import DATABASE_NAME, logged, open_client
from .version import QUALITIES, ModelVersion

ALIAS = "served"
_PER_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Synced:
    """What a sync did to one task's mirror.

    Attributes:
        task: Name of the registered model.
        registered: Versions that were not there before.
        served: The version that the alias names now, None if none is served.
    """

    task: str
    registered: tuple[str, ...]
    served: str | None


class MlflowRegistry:
    """The mirror in one tracking folder.

    Args:
        folder: `Settings.tracking_dir`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sync(self, models: ModelStore, tasks: Iterable[str] | None = None) -> tuple[Synced, ...]:
        """Make the mirror say what the store says.

        Args:
            models: The truth.
            tasks: Names; all that have a version by default.

        Raises:
            Exception: Whatever MLflow, SQLAlchemy or the disk raise; callers for whom the mirror is a convenience use
                `mirror`.
        """
        client = open_client(self.folder)
        with FileLock(self.folder / ".registry.lock"):
            return tuple(self._sync_task(client, models, task) for task in tasks or models.tasks())

    def _sync_task(self, client: Any, models: ModelStore, task: str) -> Synced:
        if not client.search_registered_models(filter_string=f"name = '{task}'"):
            client.create_registered_model(task, tags={"app": "carina"})
        known = {found.tags["version"]: found for found in self._registered(client, task) if "version" in found.tags}
        runs = self._runs(client, task)
        added = []
        for version in models.list(task):
            tags = _tags(version)
            if version.version not in known:
                run_id = runs.get(version.version)
                known[version.version] = client.create_model_version(
                    task,
                    source=version.folder.resolve().as_uri(),
                    run_id=run_id,
                    tags=tags,
                    description=describe(version),
                    await_creation_for=0,
                )
                _log_measured(client, run_id, version)
                added.append(version.version)
            elif known[version.version].tags.get("weights") != tags["weights"]:
                client.set_model_version_tag(task, known[version.version].version, "weights", tags["weights"])
        served = models.served(task)
        self._point(client, task, known[served.version].version if served else None)
        return Synced(task=task, registered=tuple(added), served=served.version if served else None)

    def _registered(self, client: Any, task: str) -> Iterator[Any]:
        token = None
        while True:
            page = client.search_model_versions(f"name = '{task}'", max_results=_PER_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _runs(self, client: Any, task: str) -> Mapping[str, str]:
        """Version → id of the run that made it."""
        experiment = client.get_experiment_by_name(task)
        if experiment is None:
            return {}
        found: dict[str, str] = {}
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], max_results=_PER_PAGE, page_token=token)
            found |= {run.data.tags["version"]: run.info.run_id for run in page if "version" in run.data.tags}
            token = page.token
            if not token:
                return found

    def _point(self, client: Any, task: str, number: str | None) -> None:
        aliases = client.get_registered_model(task).aliases
        if number is None:
            if ALIAS in aliases:
                client.delete_registered_model_alias(task, ALIAS)
        elif str(aliases.get(ALIAS)) != str(number):
            client.set_registered_model_alias(task, ALIAS, number)


def mirror(models: ModelStore, folder: Path, task: str) -> None:
    """Bring a task's mirror up to date; whatever goes wrong is logged."""
    with logged("mirror the model versions"):
        MlflowRegistry(folder).sync(models, [task])


def mirror_if_there(models: ModelStore, folder: Path, task: str) -> None:
    """As `mirror`, but only where there is a mirror already, so that nobody waits for MLflow who does not use it."""
    if (folder / DATABASE_NAME).is_file():
        mirror(models, folder, task)


def follow(models: ModelStore, folder: Path, *, every_s: float) -> Iterator[None]:
    """Keep the mirror up to date while somebody looks at it; each step waits, looks, and syncs if anything changed."""
    seen: object = None
    while True:
        with logged("mirror the model versions"):
            now = _state(models)
            if now != seen:
                MlflowRegistry(folder).sync(models)
                seen = now
        yield
        time.sleep(every_s)


def describe(version: ModelVersion) -> str:
    """A version in Markdown: the gate's table, then its Dice or AUROC with intervals."""
    decision = version.decision()
    parts = [note(version, decision) if decision else f"### {version.task} {version.version}: {version.source}"]
    for metric, title in QUALITIES.items():
        known = ((name, row[metric]) for name, row in version.intervals.items() if metric in row)
        rows = [
            f"| {name} | {_number(one.get('mean'))} | {_number(one.get('low'))} | {_number(one.get('high'))} "
            f"| {one['n']} |"
            for name, one in known
        ]
        if rows:
            head = [f"| label | {title} | 95 % low | 95 % high | cases |", "|---|---|---|---|---|"]
            parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)


def _tags(version: ModelVersion) -> dict[str, str]:
    decision = version.decision() or {}
    tags = {
        "version": version.version,
        "source": version.source,
        "weights": "there" if version.has_weights else "removed",
        "weights_sha256": version.sha256,
        "task_fingerprint": version.fingerprint,
        "data_sha256": version.data_sha256,
        "source_sha256": version.code.get("source_sha256"),
        "carina_version": version.carina_version,
        "parent": version.parent,
        "gate": {True: "promoted", False: "kept back"}.get(decision.get("promoted", "")),
    }
    return {name: value for name, value in tags.items() if value}


def _log_measured(client: Any, run_id: str | None, version: ModelVersion) -> None:
    """Add the final figures to the run, one curve point per label: `holdout_dice/liver`."""
    if run_id is None:
        return
    from mlflow.entities import Metric

    part = version.data.get("measured_on", "holdout")
    now = int(time.time() * 1000)
    values = {
        f"{part}_{metric}/{name}": value
        for name, row in version.metrics.items()
        for metric in QUALITIES
        if (value := row.get(metric)) is not None
    }
    client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in values.items()])


def _state(models: ModelStore) -> object:
    """What changes when the store does, and is quick to read."""
    state = []
    for task in models.tasks():
        names = [(version.version, version.has_weights) for version in models.list(task)]
        served = None
        with contextlib.suppress(FileNotFoundError):
            served = (models.folder(task) / "served.json").read_text(encoding="utf-8")
        state.append((task, names, served))
    return state


def _number(value: float | int | None) -> str:
    return "" if value is None else f"{value:.3f}"
