"""`carina models`: versions of a task, and which one is served."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..models.store import ModelStore
from ..models.version import ModelVersion
from ..registry import find_tasks
from ..settings import Settings
from .options import JsonOption, TaskArgument
from .output import Output, command

app = typer.Typer(no_args_is_help=True, help="List, show, promote and roll back model versions.")

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Such as v3.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the task's history.")]


@app.command("list")
def list_versions(task: TaskArgument, as_json: JsonOption = False) -> None:
    """List every version of a task, and mark the one that is served.

    Example: [bold]carina models list thorax_ct[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        served = models.served(name)
        versions = models.list(name)
        output.table(
            f"Versions of {name}",
            ["Version", "Served", "Created", "Source", "Parent", "Mean Dice"],
            [
                [
                    version.version,
                    "yes" if served and served.version == version.version else "",
                    version.created,
                    version.source,
                    version.parent or "",
                    _mean_dice(version),
                ]
                for version in versions
            ],
        )
        output.result(
            {
                "task": name,
                "served": served.version if served else None,
                "versions": [version.to_json() for version in versions],
                "history": [dict(entry) for entry in models.history(name)],
            }
        )


@app.command("show")
def show(task: TaskArgument, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Show one version: where it came from, what it was trained on, how good it is.

    Example: [bold]carina models show thorax_ct v2[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        found = models.get(name, version)
        output.say(f"[bold]{name} {found.version}[/]  {found.source}, {found.created}, parent {found.parent or 'none'}")
        output.say(f"weights {found.weights_path}\nsha256  {found.sha256}")
        output.table("Metrics", ["Label", "Metric", "Value"], _metric_rows(found))
        output.result(found.to_json())


@app.command("promote")
def promote(
    task: TaskArgument,
    version: VersionArgument,
    reason: ReasonOption = "promoted by a person",
    as_json: JsonOption = False,
) -> None:
    """Serve a version from the next request on; a running server notices by itself.

    Example: [bold]carina models promote thorax_ct v2 --reason "checked on 20 cases"[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        _report(output, name, models.promote(name, version, reason=reason, by="carina models"), "serves")


@app.command("rollback")
def rollback(task: TaskArgument, reason: ReasonOption = "rolled back by a person", as_json: JsonOption = False) -> None:
    """Serve again what was served before.

    Example: [bold]carina models rollback thorax_ct[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        _report(output, name, models.rollback(name, reason=reason, by="carina models"), "serves again")


def _open(task: str) -> tuple[ModelStore, str]:
    return ModelStore(Settings().models_dir), find_tasks().get(task).name


def _report(output: Output, task: str, version: ModelVersion, verb: str) -> None:
    output.say(f"[green]{task} {verb} {version.version}[/]")
    output.result({"task": task, "served": version.version})


def _mean_dice(version: ModelVersion) -> str:
    values = [row["dice"] for row in version.metrics.values() if row.get("dice") is not None]
    known: list[Any] = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else ""


def _metric_rows(version: ModelVersion) -> list[list[str]]:
    return [
        [label, metric, "undefined" if value is None else f"{value:.4g}"]
        for label, row in version.metrics.items()
        for metric, value in row.items()
    ]
