"""`carina mlflow`: MLflow's pages over the trainings and model versions of this installation."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer

from ..errors import CarinaError, ConflictError
from ..models.registry_mlflow import follow
from ..models.store import ModelStore
from ..models.tracking import experiments, silence, store_uri
from ..processes import python_module
from ..settings import Settings
from .options import JsonOption
from .output import command, write_json_line

_HOST = "127.0.0.1"
_START_S = 120.0
_STOP_S = 10.0
_FOLLOW_S = 3.0


def mlflow(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show curves, pictures, data manifests, the gate's decisions and all versions in a browser, until Ctrl-C.

    Only this machine can reach the pages; they send nothing anywhere and need no internet. While they are open, the
    versions and the alias of the served one follow what carina does.

    Examples: [bold]carina mlflow[/], [bold]carina mlflow --port 5000[/]
    """
    with command(as_json=as_json) as output:
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore Ctrl-C
            signal.signal(number, signal.default_int_handler)
        settings = Settings()
        steps = follow(ModelStore(settings.models_dir), settings.tracking_dir, every_s=_FOLLOW_S)
        output.say("Starting MLflow; this takes some seconds …")
        next(steps)
        with pages(settings.tracking_dir, port=port or _free_port()) as (url, process):
            trainings = {
                task: f"{url}/#/experiments/{number}/runs"
                for task, number in experiments(settings.tracking_dir).items()
            }
            output.say(f"[bold green]MLflow is ready[/] at [bold]{url}[/]")
            for task, address in trainings.items():
                output.say(f"  trainings of {task}  {address}")
            output.say(f"  model versions  {url}/#/models\nStop with Ctrl-C.")
            if as_json:
                write_json_line({"url": url, "pid": process.pid, "trainings": trainings, "models": f"{url}/#/models"})
            with contextlib.suppress(KeyboardInterrupt):
                for _ in steps:
                    if process.poll() is not None:
                        raise CarinaError("MLflow must keep running, but ended by itself. Start it again.")


@contextlib.contextmanager
def pages(folder: Path, *, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """MLflow's server on this machine alone, as long as the block runs.

    Args:
        folder: `Settings.tracking_dir`.
        port: Of the loopback address.

    Yields:
        Its address and process.

    Raises:
        ConflictError: If the port is taken.
        CarinaError: If it does not answer in time.
    """
    _must_be_free(port)
    silence()
    folder.mkdir(parents=True, exist_ok=True)
    log = (folder / "mlflow.log").open("ab")
    command_line = python_module("mlflow", "server", "--backend-store-uri", store_uri(folder))
    command_line += ["--default-artifact-root", (folder / "artifacts").resolve().as_uri()]
    command_line += ["--host", _HOST, "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(  # noqa: S603 — this interpreter with our own arguments
        command_line, stdout=log, stderr=log, env=dict(os.environ), start_new_session=True
    )
    url = f"http://{_HOST}:{port}"
    try:
        _wait_for(url, process, log_name=folder / "mlflow.log")
        yield url, process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _wait_for(url: str, process: subprocess.Popen[bytes], *, log_name: Path) -> None:
    deadline = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{url}/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
    raise CarinaError(f"MLflow must answer within {_START_S:g} s, but did not. See {log_name}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ConflictError(f"Port {port} must be free, got '{error.strerror}'. Leave out --port.") from error
