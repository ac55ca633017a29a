"""The command `carina`: every subcommand by its name, and the process's entry point."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from . import (
    annotating,
    deliveries,
    demo,
    diagnosis,
    importing,
    inferring,
    jobs,
    mlflow,
    models,
    phantoms,
    serving,
    tasks,
    training,
    weights,
)
from .output import write_json_line

app = typer.Typer(
    name="carina",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carina {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with [bold]carina doctor[/], then [bold]carina demo[/], then [bold]carina up[/].")
def carina(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """AI drafts for radiology in Slicer and OHIF; every correction kept, better models promoted.

    All state lives in the folder CARINA_HOME names (default: the platform's user data folder).
    """


app.command("up")(serving.up)
app.command("demo")(demo.demo)
app.command("doctor")(diagnosis.doctor)
app.command("tasks")(tasks.tasks)
app.command("phantom")(phantoms.phantom)
app.command("import")(importing.import_images)
app.command("infer")(inferring.infer)
app.command("train")(training.train)
app.command("evaluate")(training.evaluate)
app.add_typer(models.app, name="models")
app.add_typer(annotating.app, name="annotations")
app.add_typer(jobs.app, name="jobs")
app.add_typer(weights.app, name="weights")
app.command("mlflow")(mlflow.mlflow)
app.add_typer(deliveries.app, name="deliveries")


def main() -> None:
    """Run `carina`; exit status 0, 1 for an error, 2 for a wrong command line, 130 for Ctrl-C."""
    try:
        app()
    except SystemExit as end:
        if end.code == 2 and "--json" in sys.argv:
            write_json_line({"error": "UsageError", "detail": "The command line is wrong; stderr says where."})
        raise
