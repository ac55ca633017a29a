"""`carina models prune | export | import`: weights that go, leave for another house, or come from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..models.package import SUFFIX, export_version
from ..models.registry_mlflow import mirror_if_there
from ..models.retention import prune as prune_weights
from ..models.store import ModelStore
from ..models.unpacking import import_package
from ..registry import find_tasks
from ..settings import Settings
from .options import JsonOption, TaskArgument, VersionArgument
from .output import command

_MIB = 2**20


def prune(
    task: TaskArgument,
    keep: Annotated[int, typer.Option("--keep", min=0, metavar="N", help="The newest N keep their weights.")],
    parents: Annotated[
        bool, typer.Option("--parents", help="Also from the version that the served one started from.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the weights of old versions; what they were made from and how good they were stays.

    The served version, those a rollback can reach, and the served version's parent keep their weights.

    Examples: [bold]carina models prune thorax_ct --keep 5 --dry-run[/], [bold]carina models prune thorax_ct --keep 5[/]
    """
    with command(as_json=as_json) as output:
        settings, spec = Settings(), find_tasks().get(task)
        models = ModelStore(settings.models_dir)
        found = prune_weights(models, spec.name, keep=keep, by="carina models", parents=parents, dry_run=dry_run)
        if not dry_run:
            mirror_if_there(models, settings.tracking_dir, spec.name)
        for version, why in found.kept.items():
            output.say(f"{version}  stays: {why}")
        verb = "would go" if dry_run else "removed"
        for version in found.removed:
            output.say(f"{version}  {verb}")
        output.say(f"{found.freed_bytes / _MIB:.1f} MiB {'would be free' if dry_run else 'freed'}")
        output.result({"task": spec.name, "dry_run": dry_run, **vars(found)})


def export(
    task: TaskArgument,
    version: VersionArgument,
    file: Annotated[Path, typer.Argument(metavar=f"FILE{SUFFIX}", help="Where to write it.")],
    with_data_ids: Annotated[
        bool, typer.Option("--with-data-ids", help="Also tell ids of the images and annotations it was made from.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a version into one hashed file for another hospital; ids of images and annotations stay here.

    Example: [bold]carina models export thorax_ct v2 thorax_ct-v2.carina[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        models = ModelStore(Settings().models_dir)
        found = export_version(models, spec, models.get(spec.name, version), file, with_data_ids=with_data_ids)
        output.say(f"[green]{spec.name} {version} is in {found.path}[/]  ({found.bytes / _MIB:.1f} MiB)")
        output.say(f"SHA-256 {found.sha256}\nTell it to the receiver over another channel: carina models import "
                   f"{found.path.name} --sha256 …")  # fmt: skip
        output.result({"task": spec.name, "version": version, "file": str(found.path), "sha256": found.sha256})


def import_file(
    file: Annotated[Path, typer.Argument(metavar=f"FILE{SUFFIX}", help="As `carina models export` wrote it.")],
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HASH", help="Of the file, as the sender told it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take up a version from another hospital, after checking every hash; it is not served until you promote it.

    Example: [bold]carina models import thorax_ct-v2.carina --sha256 3f2a…[/]
    """
    with command(as_json=as_json) as output:
        settings = Settings()
        models = ModelStore(settings.models_dir)
        version = import_package(models, find_tasks(), file, sha256=sha256)
        mirror_if_there(models, settings.tracking_dir, version.task)
        output.say(f"[green]{version.task} {version.version} is here[/], and not served yet. Measure it on your own "
                   f"images, then promote it:")  # fmt: skip
        output.say(f"  carina evaluate {version.task} --version {version.version} --images DIR --labels DIR")
        output.say(f"  carina models promote {version.task} {version.version}")
        output.result({"task": version.task, "version": version.version, "sha256": version.sha256, "served": False})
