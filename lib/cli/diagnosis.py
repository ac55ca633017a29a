"""`carina doctor`: is everything there, and does it fit?"""

from __future__ import annotations

from typing import Annotated

import typer

from ..settings import Settings
from .options import JsonOption
from .output import command

_MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


def doctor(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port `carina up` will use.")] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Check libraries, GPU, Orthanc, decoders, disk, ports and models; every finding comes with its fix.

    Exit status 1 if something must be fixed before carina can work.

    Example: [bold]carina doctor[/]
    """
    with command(as_json=as_json) as output:
        from rich.markup import escape

        from ..doctor import examine

        findings = []
        for finding in examine(Settings(port=port)):
            findings.append(finding)
            output.say(f"{_MARKS[finding.state]} [bold]{escape(finding.what)}[/]  {escape(finding.found)}")
            if finding.fix:
                output.say(f"     → {escape(finding.fix)}")
        failed = [finding for finding in findings if finding.state == "fail"]
        warned = [finding for finding in findings if finding.state == "warn"]
        output.say(f"{len(findings)} checks, {len(failed)} to fix, {len(warned)} to know.")
        output.result({"ok": not failed, "findings": [vars(finding) for finding in findings]})
    if failed:
        raise typer.Exit(1)
