"""`carina up`: the server, and Orthanc with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ..settings import Settings
from .options import JsonOption, UserOption
from .output import Output, command, write_json_line

if TYPE_CHECKING:
    from ..server.run import ServerAddress


def up(
    host: Annotated[str, typer.Option("--host", help="Address to bind; loopback keeps other machines out.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8000,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="orthanc+http://host:8042, dicomweb+https://host/dicom-web, or a folder. "
            "Default: an Orthanc that carina starts and stops itself.",
        ),
    ] = None,
    user: UserOption = None,
    home: Annotated[Path | None, typer.Option("--home", metavar="DIR", help="Instead of CARINA_HOME.")] = None,
    lease_minutes: Annotated[
        float, typer.Option("--lease-minutes", min=1, help="How long a case stays with the reader it was handed to.")
    ] = 30.0,
    retrain_after: Annotated[
        int | None,
        typer.Option(
            "--retrain-after",
            min=0,
            metavar="N",
            help="Train a task by itself after N new labels; 0: never.",
            show_default="CARINA_RETRAIN_AFTER, else 0",
        ),
    ] = None,
    retrain_at: Annotated[
        str | None,
        typer.Option(
            "--retrain-at",
            metavar="HH:MM",
            help="Train by itself at this hour if there are new labels.",
            show_default="CARINA_RETRAIN_AT, else never",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the server for OHIF, in a browser, and for 3D Slicer, until Ctrl-C.

    Examples: [bold]carina up[/], [bold]carina up --store orthanc+http://pacs:8042 --user reader[/],
    [bold]carina up --store ./images --port 8001[/],
    [bold]carina up --retrain-after 10 --retrain-at 02:00[/]
    """
    with command(as_json=as_json) as output:
        from ..server.run import serve
        from .stores import credentials

        settings = Settings(host=host, port=port, lease_minutes=lease_minutes)
        if home is not None:
            settings = dataclasses.replace(settings, home=home.resolve())
        if retrain_after is not None:
            settings = dataclasses.replace(settings, retrain_after=retrain_after)
        if retrain_at is not None:
            settings = dataclasses.replace(settings, retrain_at=retrain_at)
        output.say("Starting; the first start takes some seconds …")
        serve(
            settings,
            store,
            credentials=credentials(user),
            on_ready=lambda address: announce(output, settings, address),
        )


def announce(output: Output, settings: Settings, address: ServerAddress) -> None:
    """Say where everything is and where to click; with `--json` the object comes now, because the server goes on."""
    output.say(f"[bold green]carina is ready[/] at [bold]{address.url}[/]  (state in {escape(str(settings.home))})")
    show_where_to_click(output, settings, address)
    output.say("Stop with Ctrl-C.")
    if output.as_json:
        write_json_line(
            {
                "url": address.url,
                "pid": address.pid,
                "store": address.store,
                "pacs_url": address.pacs_url,
                "home": str(settings.home),
            }
        )


def show_where_to_click(output: Output, settings: Settings, address: ServerAddress) -> None:
    """Addresses, and what to do with them in each viewer."""
    output.say(f"  3D Slicer  install the extension MONAILabel; in its module enter {address.url} as server, press ⟳,")
    output.say("             then Next Sample → Run → correct in Segment Editor → Submit Label → Train")
    output.say(f"  Browser    {address.url}/  for OHIF, the tasks, their models and what runs")
    if address.pacs_url:
        output.say(f"  Orthanc    {address.pacs_url}/app/explorer.html  ({_login(settings, address)})")


def _login(settings: Settings, address: ServerAddress) -> str:
    """How to log into the PACS; the password itself is not shown."""
    if not address.pacs_user:
        return "no login"
    own = settings.orthanc_dir / "password"
    is_own = own.is_file() and own.read_text(encoding="utf-8").strip() == address.pacs_password
    return f"user {address.pacs_user}, password " + (f"in {escape(str(own))}" if is_own else "as configured")
