"""How every command speaks: tables and progress for people, one JSON object for programs, errors in one line.

Without `--json` people read stdout. With it stdout holds the JSON object as its last line, and all else goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..errors import CarinaError, is_full, storage_error

Report = Callable[[float, str], None]


class Output:
    """What one command says.

    Args:
        as_json: Whether a program reads stdout.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)
        self._result: Mapping[str, Any] | None = None

    def say(self, text: str) -> None:
        """A line for people; may hold rich markup."""
        self.console.print(text, soft_wrap=True)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table for people; title and cells are plain text."""
        if not rows:
            self.say(f"{escape(title)}: none.")
            return
        self.say(f"[italic]{escape(title)}[/]")  # Rich wraps a table's own title within its columns
        table = Table(*columns)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)

    def result(self, content: Mapping[str, Any]) -> None:
        """What a program gets, once the command has ended well."""
        self._result = content

    @contextmanager
    def progress(self, title: str) -> Iterator[Report]:
        """A progress bar on stderr, fed with a fraction and a phrase."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[phrase]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task: TaskID = bar.add_task(title, total=1.0, phrase="")
            yield lambda fraction, phrase: bar.update(task, completed=fraction, phrase=escape(phrase))

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """A progress bar that leaves a line with its duration."""
        started = time.monotonic()
        with self.progress(title) as report:
            yield report
        self.say(f"[green]✓[/] {title} [dim]({time.monotonic() - started:.0f} s)[/]")

    def finish(self) -> None:
        """Write the JSON object, if a program waits for one; only the first call does."""
        if self.as_json and self._result is not None:
            write_json_line(self._result)
        self._result = None


def command_group(about: str) -> typer.Typer:
    """Commands with a first word in common, such as `carina models list`; that word alone shows what there is."""
    return typer.Typer(no_args_is_help=True, add_completion=False, help=about)


@contextmanager
def command(*, as_json: bool) -> Iterator[Output]:
    """The frame of every command: one line for an error that carina raised on purpose, and exit status 1.

    So it is for a file or folder that the system refuses, wherever a command comes across it, and for a full disk.

    Raises:
        typer.Exit: With status 1, in place of such an error.
    """
    output = Output(as_json=as_json)
    try:
        yield output
    except CarinaError as error:
        report_error(error, as_json=as_json)
        raise typer.Exit(1) from error
    except OSError as error:
        if error.filename is None and not is_full(error):
            raise
        report_error(storage_error(error), as_json=as_json)
        raise typer.Exit(1) from error
    output.finish()


def report_error(error: CarinaError, *, as_json: bool) -> None:
    """One red line for people, and an object for programs."""
    Console(stderr=True, highlight=False).print(f"[bold red]Error:[/] [red]{escape(str(error))}[/]", soft_wrap=True)
    if as_json:
        write_json_line({"error": type(error).__name__, "detail": str(error)})


def write_json_line(content: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    sys.stdout.write(json.dumps(content, default=str) + "\n")
    sys.stdout.flush()
