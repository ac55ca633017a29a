"""`carina tasks`: what can be drafted and trained."""

from __future__ import annotations

from typing import Any

from ..models.store import ModelStore
from ..registry import find_tasks
from ..settings import Settings
from ..task import TaskSpec
from .options import JsonOption
from .output import command

_SHOWN_LABELS = 6


def tasks(as_json: JsonOption = False) -> None:
    """List the tasks, their labels and the model version each one serves.

    Example: [bold]carina tasks[/]
    """
    with command(as_json=as_json) as output:
        models = ModelStore(Settings().models_dir)
        specs = list(find_tasks())
        served = {spec.name: models.served(spec.name) for spec in specs}
        versions = {name: version.version if version else None for name, version in served.items()}
        output.table(
            "Tasks",
            ["Task", "Kind", "Modality", "Labels", "Served"],
            [
                [spec.name, spec.kind, ", ".join(spec.modality), _labels(spec), versions[spec.name] or "none yet"]
                for spec in specs
            ],
        )
        output.result({"tasks": [_as_json(spec, versions[spec.name]) for spec in specs]})


def _as_json(spec: TaskSpec, served: str | None) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "modality": list(spec.modality),
        "dimension": spec.dimension,
        "description": spec.description,
        "labels": spec.labels.indices,
        "served": served,
    }


def _labels(spec: TaskSpec) -> str:
    names = spec.labels.names
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN_LABELS else ""
    return ", ".join(names[:_SHOWN_LABELS]) + more
