"""`carina weights`: which public weights the tasks can load, under which licence, and whether they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInputError
from ..models.public_weights import WeightsFile, announced, import_weights, restriction, weights_of
from ..models.registry_mlflow import mirror_if_there
from ..models.store import ModelStore
from ..registry import find_tasks
from ..settings import Settings
from .options import JsonOption
from .output import Output, command, command_group

app = command_group("List, verify and import weights that others published.")

TaskOption = Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only this task; default: all.")]
_STATES = {
    "missing": "not there",
    "unchecked": "there; its publisher announces no hash",
    "verified": "there, and the announced file",
    "damaged": "there, but another file than announced",
}


@app.command("list")
def list_weights(task: TaskOption = None, as_json: JsonOption = False) -> None:
    """List the weights manifest: file, source, licence, hash, where to put the file, and whether it is there.

    carina never downloads anything: a person fetches the file, on a machine that may.

    Example: [bold]carina weights list[/]
    """
    with command(as_json=as_json) as output:
        found = _examine(task)
        for entry in found:
            _say(output, entry)
        if not found:
            output.say("No public weights are known for this. Train, or import a model: carina models import FILE")
        output.result({"weights": [_as_json(entry) for entry in found]})


@app.command("verify")
def verify(task: TaskOption = None, as_json: JsonOption = False) -> None:
    """Hash every file that is there and compare with what its publisher announced; fails if one differs.

    Example: [bold]carina weights verify --task wholebody_ct[/]
    """
    with command(as_json=as_json) as output:
        found = _examine(task)
        for entry in found:
            output.say(f"{entry.task}  {entry.public.file_name}: {_STATES[entry.state]}  {entry.sha256 or ''}")
        output.result({"weights": [_as_json(entry) for entry in found]})
        damaged = [entry.public.file_name for entry in found if entry.state == "damaged"]
        if damaged:
            raise InvalidInputError(
                f"Weights must have the hash their publisher announces, got another for {', '.join(damaged)}. "
                f"Remove the file and fetch it again."
            )


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pt or .safetensors file.")],
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="The task that is to load it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a model version from a weights file; nothing in it is executed, and it is not served until you promote it.

    Example: [bold]carina weights import model.pt --task wholebody_ct[/]
    """
    with command(as_json=as_json) as output:
        settings, spec = Settings(), find_tasks().get(task)
        models = ModelStore(settings.models_dir)
        public = announced(spec, file)
        version = import_weights(models, spec, file, source="public" if public else "imported", public=public)
        mirror_if_there(models, settings.tracking_dir, spec.name)
        output.say(f"[green]{spec.name} {version.version} was made from {file.name}[/], as safetensors")
        if public is not None:
            output.say(f"{public.source}, licence {public.licence}. {restriction(public.licence)}")
        if public is None or public.judges:
            output.say(f"Serve it with: carina models promote {spec.name} {version.version}")
        else:
            output.say(
                f"It cannot answer yet. Train from it: carina train {spec.name} --start-from {version.version} …"
            )
        output.result({"task": spec.name, "version": version.version, "known": public is not None})


def _examine(task: str | None) -> list[WeightsFile]:
    models, tasks = ModelStore(Settings().models_dir), find_tasks()
    specs = [tasks.get(task)] if task else list(tasks)
    return [entry for spec in specs for entry in weights_of(models, spec)]


def _say(output: Output, entry: WeightsFile) -> None:
    public = entry.public
    output.say(f"[bold]{entry.task}  {public.file_name}[/]  {_STATES[entry.state]}")
    output.say(f"  from     {public.source}")
    output.say(f"  licence  {public.licence}. {restriction(public.licence)}".rstrip())
    output.say(f"  SHA-256  {public.sha256 or 'not announced'}{f'; this file {entry.sha256}' if entry.sha256 else ''}")
    output.say(f"  put it   {entry.path}")
    if entry.version:
        output.say(f"  taken up as {entry.task} {entry.version}")


def _as_json(entry: WeightsFile) -> dict[str, object]:
    return {
        "task": entry.task,
        "file_name": entry.public.file_name,
        "source": entry.public.source,
        "licence": entry.public.licence,
        "restriction": restriction(entry.public.licence),
        "announced_sha256": entry.public.sha256,
        "sha256": entry.sha256,
        "state": entry.state,
        "path": str(entry.path),
        "version": entry.version,
    }
