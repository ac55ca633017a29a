"""`python -m tests.faults`: the long form, with a table for people and one JSON object for programs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .campaign import Tally, run_campaign


def main(
    runs: Annotated[int, typer.Option("--runs", min=1, help="How many runs.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every run's plan.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of stdout.")] = False,
) -> None:
    """Kill, stop, fill and disturb carina and its PACS at random, and count what is lost, duplicated or changed.

    Needs Orthanc; filling a disk needs root, and is left out without. Exit status 1 if anything was wrong.

    Example: python -m tests.faults --runs 20 --seed 7
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="carina-faults-", ignore_cleanup_errors=True) as folder,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("runs", total=runs)

        def report(done: int, tally: Tally) -> None:
            wrong = ", ".join(f"{what} {count}" for what, count in tally.wrong.items() if count)
            bar.update(task, completed=done, description=f"runs [red]{wrong}[/]" if wrong else "runs")

        tally = run_campaign(Path(folder), runs=runs, seed=seed, report=report)
    _show(tally, seed=seed)
    if as_json:
        typer.echo(json.dumps(tally.to_json()))
    raise typer.Exit(0 if tally.right else 1)


def _show(tally: Tally, *, seed: int) -> None:
    console = Console(highlight=False)
    table = Table(
        "What", "Count", title=f"{tally.runs} runs, seed {seed}, {tally.duration_s:.0f} s", title_justify="left"
    )
    table.add_row("labels sent", str(tally.submits))
    for outcome, count in sorted(tally.outcomes.items()):
        table.add_row(f"  {outcome}", str(count))
    table.add_row("  stored although not acknowledged", str(tally.stored_unacknowledged))
    for status, count in sorted(tally.statuses.items()):
        table.add_row(f"  answered {status}", str(count))
    table.add_section()
    for kind, count in sorted(tally.faults.items()):
        table.add_row(kind, str(count))
    table.add_section()
    for moment, count in sorted(tally.moments.items()):
        table.add_row(f"faults when: {moment}", str(count))
    table.add_section()
    for what in ("lost", "duplicated", "differing", "stray", "half", "undelivered", "unexplained", "left over"):
        table.add_row(what, str(tally.wrong[what]), style="red" if tally.wrong[what] else "green")
    console.print(table)
    if not tally.disk_full_possible:
        console.print("No disk was filled: mounting a tmpfs is not allowed here.")
    for note in tally.notes[:40]:
        console.print(note, style="red", markup=False)


if __name__ == "__main__":
    typer.run(main)
