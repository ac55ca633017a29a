"""`carina models`: versions of a task, which one is served, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import CarinaError
from ..models.difference import Difference, difference
from ..models.record import gate_columns, gate_row
from ..models.registry_mlflow import MlflowRegistry, mirror_if_there
from ..models.store import ModelStore
from ..models.version import QUALITIES, ModelVersion
from ..registry import find_tasks
from ..settings import Settings
from . import model_files
from .options import JsonOption, TaskArgument, VersionArgument
from .output import Output, command, command_group

app = command_group("List, show, compare, promote, roll back, prune, export and import model versions.")

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
            ["Version", "Served", "Created", "Source", "Parent", "Quality", "Gate", "Weights"],
            [
                [
                    version.version,
                    "yes" if served and served.version == version.version else "",
                    version.created,
                    version.source,
                    version.parent or "",
                    _quality(version),
                    _gate_word(version),
                    "there" if version.has_weights else "removed",
                ]
                for version in versions
            ],
        )
        output.result(
            {
                "task": name,
                "served": served.version if served else None,
                "versions": [version.listed() for version in versions],
                "history": [dict(entry) for entry in models.history(name)],
            }
        )


@app.command("show")
def show(task: TaskArgument, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Show one version: what it was made from and by, how good it is, and what the gate decided and why.

    Example: [bold]carina models show thorax_ct v2[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        found = models.get(name, version)
        decision, history = found.decision(), [dict(row) for row in models.history(name) if row["to"] == version]
        served = models.served(name)
        output.say(f"[bold]{name} {found.version}[/]  {found.source}, {found.created}, parent {found.parent or 'none'}")
        for what, value in _identity(found):
            output.say(f"{what:16}{value}")
        _say_data(output, found)
        if decision is not None:
            verdict = "[green]promoted[/]" if decision["promoted"] else "[yellow]kept back[/]"
            output.say(f"gate            {verdict}: {escape(str(decision['reason']))}")
            output.table("The gate's table", gate_columns(decision), [gate_row(row) for row in decision["per_label"]])
        output.table("Metrics", ["Label", "Metric", "Mean", "95 % interval", "Cases"], _metric_rows(found))
        for entry in history:
            output.say(
                f"{entry['when']}  {entry['action']} by {escape(str(entry['by']))}: {escape(str(entry['reason']))}"
            )
        output.result(
            {
                **found.to_json(),
                "decision": decision,
                "served": served is not None and served.version == version,
                "pruned": found.pruned(),
                "history": history,
            }
        )


@app.command("diff")
def diff(
    task: TaskArgument,
    before: VersionArgument,
    after: VersionArgument,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: Dice or AUROC per label, training data, options, the task's declaration, code.

    Example: [bold]carina models diff thorax_ct v1 v2[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        found = difference(models.get(name, before), models.get(name, after))
        _say_difference(output, found)
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
        _report(output, models, name, models.promote(name, version, reason=reason, by="carina models"), "serves")


@app.command("rollback")
def rollback(task: TaskArgument, reason: ReasonOption = "rolled back by a person", as_json: JsonOption = False) -> None:
    """Serve again what was served before.

    Example: [bold]carina models rollback thorax_ct[/]
    """
    with command(as_json=as_json) as output:
        models, name = _open(task)
        _report(output, models, name, models.rollback(name, reason=reason, by="carina models"), "serves again")


@app.command("sync")
def sync(as_json: JsonOption = False) -> None:
    """Make MLflow's Model Registry say what the model store says; needed only after MLflow failed or was deleted.

    Example: [bold]carina models sync[/]
    """
    with command(as_json=as_json) as output:
        settings = Settings()
        try:
            synced = MlflowRegistry(settings.tracking_dir).sync(ModelStore(settings.models_dir))
        except Exception as error:
            raise CarinaError(
                f"MLflow's registry must be writable, got {type(error).__name__}. Move {settings.tracking_dir} away "
                f"and run this again: the models are elsewhere."
            ) from error
        for row in synced:
            output.say(f"{row.task}: {len(row.registered)} version(s) added, serves {row.served or 'none'}")
        output.result({"tasks": [vars(row) for row in synced]})


app.command("prune")(model_files.prune)
app.command("export")(model_files.export)
app.command("import")(model_files.import_file)


def _open(task: str) -> tuple[ModelStore, str]:
    return ModelStore(Settings().models_dir), find_tasks().get(task).name


def _report(output: Output, models: ModelStore, task: str, version: ModelVersion, verb: str) -> None:
    mirror_if_there(models, Settings().tracking_dir, task)
    output.say(f"[green]{task} {verb} {version.version}[/]")
    output.result({"task": task, "served": version.version})


def _quality(version: ModelVersion) -> str:
    if version.quality is None:
        return ""
    metric, mean = version.quality
    return f"{QUALITIES[metric]} {mean:.3f}"


def _gate_word(version: ModelVersion) -> str:
    decision = version.decision()
    return "" if decision is None else "promoted" if decision["promoted"] else "kept back"


def _identity(version: ModelVersion) -> list[tuple[str, str]]:
    """What fixes a version: its weights, the task's form, the data, and the code."""
    pruned = version.pruned() if not version.has_weights else None
    return [
        ("weights", f"removed on {pruned['when']}, {pruned['reason']}" if pruned else str(version.weights_path)),
        ("weights SHA-256", version.sha256),
        ("task SHA-256", version.fingerprint),
        ("data SHA-256", version.data_sha256 or "not recorded"),
        ("code", ", ".join([f"carina {version.carina_version}", *(f"{k} {v}" for k, v in version.code.items())])),
    ]


def _say_data(output: Output, version: ModelVersion) -> None:
    cases = version.data.get("cases", ())
    if cases:
        counts = [
            f"{sum(case['part'] == part for case in cases)} {part}" for part in ("train", "validation", "holdout")
        ]
        output.say(f"data            {', '.join(counts)} case(s); measured on {version.data.get('measured_on')}")
        rows = [[case["part"], case["image_id"], case["revision"]] for case in cases]
        output.table("Made from", ["Part", "Image", "Annotation"], rows)
    if start := version.data.get("start"):
        output.say(f"start           from {start['chosen']}: {start['reason']}")
    for name in ("published_at", "licence", "origin"):
        if name in version.data:
            output.say(f"{name:16}{version.data[name]}")


def _metric_rows(version: ModelVersion) -> list[list[str]]:
    rows = []
    for label, row in version.metrics.items():
        for metric, value in row.items():
            spread = version.intervals.get(label, {}).get(metric, {})
            low, high = spread.get("low"), spread.get("high")
            interval = f"{low:.4g} to {high:.4g}" if low is not None and high is not None else ""
            mean = "undefined" if value is None else f"{value:.4g}"
            rows.append([label, metric, mean, interval, str(spread.get("n", ""))])
    return rows


def _say_difference(output: Output, found: Difference) -> None:
    if found.same_weights:
        output.say("Both have the same weights.")
    if not found.same_cases:
        output.say("[yellow]They were not measured on the same cases, so the metrics compare only roughly.[/]")
    columns = ["Label", f"{found.metric} {found.before}", f"{found.metric} {found.after}", "Difference"]
    rows = [
        [row.label, _spread(row.before), _spread(row.after), "" if row.difference is None else f"{row.difference:+.3f}"]
        for row in found.metrics
    ]
    output.table("Metrics", columns, rows)
    data = [[sign, case["part"], case["image_id"], case["revision"]]
            for sign, cases in (("removed", found.removed), ("added", found.added)) for case in cases]  # fmt: skip
    if data:
        output.table("Training data", ["", "Part", "Image", "Annotation"], data)
    for title, changed in (("Options", found.options), ("Task", found.task_spec), ("Code", found.code)):
        if changed:
            rows = [[change.name, str(change.before), str(change.after)] for change in changed]
            output.table(title, ["", found.before, found.after], rows)


def _spread(row: Any) -> str:
    if row["mean"] is None:
        return "undefined"
    interval = f" ({row['low']:.3f} to {row['high']:.3f})" if row["low"] is not None else ""
    return f"{row['mean']:.3f}{interval}"
