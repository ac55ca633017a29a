"""The command `carina`: every subcommand by its name, and the process's entry point."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from .. import __version__
from .output import write_json_line

# Where each command is; its module is imported when it is asked for, so that none waits for what another one needs.
_COMMANDS = {
    "up": "serving:up",
    "demo": "demo:demo",
    "doctor": "diagnosis:doctor",
    "tasks": "tasks:tasks",
    "phantom": "phantoms:phantom",
    "import": "importing:import_images",
    "infer": "inferring:infer",
    "train": "training:train",
    "pretrain": "pretraining:pretrain",
    "evaluate": "training:evaluate",
    "audit": "auditing:audit",
    "review": "reviewing:review",
    "similar": "similar:similar",
    "simulate": "simulating:simulate",
    "models": "models:app",
    "annotations": "annotating:app",
    "jobs": "jobs:app",
    "weights": "weights:app",
    "mlflow": "mlflow:mlflow",
    "deliveries": "deliveries:app",
}


class CommandTable(TyperGroup):
    """The commands of `_COMMANDS`, in its order; what is `Any` here are types of Typer's that are private."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them, imported; None if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(f".{module}", __package__), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
            alone.command(cmd_name)(found)
            found = alone
        command = get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="carina",
    cls=CommandTable,
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


def main() -> None:
    """Run `carina`; exit status 0, 1 for an error, 2 for a wrong command line, 130 for Ctrl-C."""
    try:
        app()
    except SystemExit as end:
        if end.code == 2 and "--json" in sys.argv:
            write_json_line({"error": "UsageError", "detail": "The command line is wrong; stderr says where."})
        raise
