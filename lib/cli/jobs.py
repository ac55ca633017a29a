"""`carina jobs`: what is worked on in the background of a CARINA_HOME, with a running server or without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import UnknownJobError
from ..jobs.job import Job
from ..jobs.kind import find_kinds
from ..jobs.runner import JobRunner
from ..models.version import QUALITIES
from ..settings import Settings
from .options import JsonOption
from .output import Output, command, command_group
from .stores import running_server

app = command_group("List, follow, cancel and resume trainings and other background jobs.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or how it begins.")]
_LOOK_S = 0.3
_ENDS_WITHIN_S = 15.0


@app.command("list")
def list_jobs(
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only train, infer or another kind.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every job, oldest first.

    Example: [bold]carina jobs list --kind train[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        found = desk.jobs(find_kinds().get(kind).name if kind else None)
        rows = [
            [
                job.id[:8],
                job.kind,
                job.task,
                job.state,
                f"{job.progress:.0%}",
                job.slot or "",
                str(job.attempt),
                job.message,
            ]
            for job in found
        ]
        output.table("Jobs", ["Id", "Kind", "Task", "State", "Done", "Slot", "Attempt", "Message"], rows)
        output.result({"jobs": [_row(job) for job in found]})


@app.command("show")
def show(job_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one job: where it stands, its newest events, its result or why it ended otherwise.

    Example: [bold]carina jobs show 3f2a[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        job = _find(desk, job_id)
        row = _row(job)
        output.table(f"Job {job.id}", ["", ""], [[name, "" if row[name] is None else str(row[name])] for name in row])
        epochs = [event for event in desk.events(job.id)[0] if event.get("type") == "epoch"]
        if epochs:
            rows = [[str(event["epoch"]), _number(event.get("loss")), _quality(event)] for event in epochs]
            output.table("Epochs", ["Epoch", "Loss", "Validation"], rows[-10:])
        output.result(row | {"epochs": epochs})


@app.command("log")
def log(
    job_id: IdArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Print a job's log; the whole file is named at the end.

    Examples: [bold]carina jobs log 3f2a[/], [bold]carina jobs log 3f2a -f[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        job = _find(desk, job_id)
        path = desk.folder(job.id).log
        text = desk.log_tail(job.id, lines=lines)
        for line in text:
            output.say(escape(line))
        offset = path.stat().st_size if path.is_file() else 0
        while follow and job.active:
            time.sleep(_LOOK_S)
            job = _settled(desk, job.id)
            offset = _print_from(output, desk, job.id, offset)
        output.say(f"[dim]{path}[/]")
        output.result({"id": job.id, "state": job.state, "log": str(path), "lines": text})


@app.command("watch")
def watch(job_id: IdArgument, as_json: JsonOption = False) -> None:
    """Follow a job until it has ended; Ctrl-C stops watching, not the job.

    Example: [bold]carina jobs watch 3f2a[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        job = _find(desk, job_id)
        offset = 0
        with output.progress(f"{job.kind} {job.task}") as report:
            while True:
                job = _settled(desk, job.id)
                events, offset = desk.events(job.id, offset=offset)
                for event in events:
                    _tell(output, event)
                report(job.progress, _phrase(job, events))
                if not job.active:
                    break
                time.sleep(_LOOK_S)
        _say_state(output, job)
        output.result(_row(job))


@app.command("cancel")
def cancel(job_id: IdArgument, as_json: JsonOption = False) -> None:
    """Ask a job to end; a training leaves a checkpoint from which it can be resumed.

    Example: [bold]carina jobs cancel 3f2a[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        job = desk.cancel(_find(desk, job_id).id)
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while job.active and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            job = _settled(desk, job.id)
        _say_state(output, job)
        output.result(_row(job))


@app.command("resume")
def resume(job_id: IdArgument, as_json: JsonOption = False) -> None:
    """Let a job go on that was cancelled, failed or was interrupted: the same job, from its last checkpoint.

    Example: [bold]carina jobs resume 3f2a[/]
    """
    with command(as_json=as_json) as output, _jobs() as desk:
        job = desk.resume(_find(desk, job_id).id)
        waits = "" if running_server(Settings()) else "; it starts with the next server: [bold]carina up[/]"
        output.say(f"Job {job.id[:8]} is queued{waits}")
        output.result(_row(job))


@contextmanager
def _jobs() -> Iterator[JobRunner]:
    """The jobs of this installation. What ended while no server watched is recorded first; nothing is started."""
    runner = JobRunner(Settings(), slots=())
    try:
        runner.settle()
        yield runner
    finally:
        runner.close()


def _settled(desk: JobRunner, job_id: str) -> Job:
    desk.settle()
    return desk.status(job_id)


def _find(desk: JobRunner, text: str) -> Job:
    """The job whose id begins like that.

    Raises:
        UnknownJobError: If there is none, or more than one.
    """
    found = [job for job in desk.jobs() if text and job.id.startswith(text)]
    if len(found) != 1:
        raise UnknownJobError(
            f"A job's id must begin with '{text[:64]}', got {len(found)} such jobs. `carina jobs list` shows all."
        )
    return found[0]


def _row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "task": job.task,
        "state": job.state,
        "progress": round(job.progress, 4),
        "message": job.message,
        "attempt": job.attempt,
        "slot": job.slot,
        "user": job.user,
        "options": dict(job.options),
        "created": str(job.created),
        "started": str(job.started) if job.started else None,
        "ended": str(job.ended) if job.ended else None,
        "result": job.result,
        "error": job.error,
    }


def _say_state(output: Output, job: Job) -> None:
    colours = {"succeeded": "green", "failed": "red", "running": "yellow"}
    reason = f": {escape(job.error)}" if job.error else ""
    output.say(f"Job {job.id[:8]} ({job.kind} {job.task}): [{colours.get(job.state, 'yellow')}]{job.state}[/]{reason}")


def _tell(output: Output, event: dict[str, Any]) -> None:
    """A line for what a bar cannot show."""
    if event.get("type") == "epoch":
        output.say(f"epoch {event['epoch']}: loss {_number(event.get('loss'))}, {_quality(event)}")
    elif event.get("type") == "state":
        where = f" on {event['slot']}" if "slot" in event else ""
        output.say(f"[dim]{event['state']} (attempt {event['attempt']}){where}[/]")


def _phrase(job: Job, events: list[dict[str, Any]]) -> str:
    remaining = [event["eta_s"] for event in events if event.get("eta_s") is not None]
    return f"{job.message}, {remaining[-1]:.0f} s to go" if remaining else job.message


def _print_from(output: Output, desk: JobRunner, job_id: str, offset: int) -> int:
    """Print what was added to a log; the offset after it."""
    text, offset = desk.folder(job_id).log_from(offset)
    if text:
        output.say(escape(text.rstrip("\n")))
    return offset


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _quality(event: dict[str, Any]) -> str:
    """What an epoch measured on the validation cases."""
    known = [f"{name} {_number(event[metric])}" for metric, name in QUALITIES.items() if metric in event]
    return ", ".join(known) or "not measured"
