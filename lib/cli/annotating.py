"""`carina annotations`: who did what to an image, where its work stands, and a reviewer's word on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..annotations.annotation import Annotation
from ..annotations.cases import Case
from ..annotations.history import Event, history
from ..annotations.states import check_state
from ..annotations.store import AnnotationStore, open_annotations
from ..errors import UnknownLabelError
from ..settings import Settings
from .options import JsonOption
from .output import Output, command, command_group

app = command_group("History, states and leases of annotations; works without a server too.")

ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="An image's id, as the datastore lists it.")]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="Needed where an image has work for several tasks.")
]
ByOption = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; kept in the audit trail.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the case.")]
_SHORT = 8


@app.command("log")
def log(image: ImageArgument, as_json: JsonOption = False) -> None:
    """Tell everything that happened to an image: who, when, from which model, how much was changed, delivered or not.

    Example: [bold]carina annotations log 1.2.840.113619.2.1[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        events = history(store, image)
        if not events:
            raise UnknownLabelError(f"Image '{image[:64]}' must have a history, got none. Nobody has worked on it.")
        output.table(
            f"History of {image}",
            ["When (UTC)", "Who", "What", "Task", "Version", "Model", "Voxels changed", "Time spent", "State", "PACS"],
            [_line(event) for event in events],
        )
        cases = store.cases.of_image(image)
        for case in cases:
            output.say(f"{case.task or 'no task'}: [bold]{case.state}[/]")
        output.result(
            {
                "image": image,
                "cases": [case.to_json() for case in cases],
                "events": [event.to_json() for event in events],
            }
        )


@app.command("list")
def list_cases(
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Such as submitted.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only of this task.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the cases somebody has touched, and how many are in which state.

    Example: [bold]carina annotations list --state submitted --task thorax_ct[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        found = store.cases.list(state=check_state(state) if state else None, task=task, limit=None)
        counts = store.cases.counts(task=task)
        output.table(
            "Cases",
            ["Image", "Task", "State", "By", "Changed (UTC)", "Version", "Reason"],
            [
                [
                    case.image_id,
                    case.task,
                    case.state,
                    case.user or "",
                    f"{case.changed:%Y-%m-%d %H:%M}" if case.changed else "",
                    (case.annotation_id or "")[:_SHORT],
                    case.reason,
                ]
                for case in found
            ],
        )
        if any(counts.values()):
            output.say(", ".join(f"{count} {name}" for name, count in counts.items() if count))
        output.result({"cases": [case.to_json() for case in found], "counts": counts})


@app.command("accept")
def accept(
    image: ImageArgument,
    task: TaskOption = None,
    annotation: Annotated[
        str | None, typer.Option("--annotation", metavar="ID", help="Another version than the newest submitted one.")
    ] = None,
    by: ByOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Accept a case; trainings then take this version and no other of the case.

    Example: [bold]carina annotations accept 1.2.840.113619.2.1 --task thorax_ct --by "Dr. Novak"[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        named = store.cases.task_of(image, task)
        _report(output, store.cases.accept(image, named, user=by, reason=reason, annotation_id=annotation))


@app.command("reject")
def reject(
    image: ImageArgument,
    task: TaskOption = None,
    by: ByOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Reject a case: its versions stay but do not train, and it is handed out again.

    Example: [bold]carina annotations reject 1.2.840.113619.2.1 --reason "left and right swapped"[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        _report(output, store.cases.reject(image, store.cases.task_of(image, task), user=by, reason=reason))


@app.command("skip")
def skip(
    image: ImageArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why nobody is to label it.")],
    task: TaskOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave a case out; without a task, the image for every task.

    Example: [bold]carina annotations skip 1.2.840.113619.2.1 --reason "motion artefacts"[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        _report(output, store.cases.skip(image, task, user=by, reason=reason))


@app.command("reopen")
def reopen(
    image: ImageArgument,
    task: TaskOption = None,
    by: ByOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask for more work on a case, or take back that it was skipped.

    Example: [bold]carina annotations reopen 1.2.840.113619.2.1 --reason "the apex is missing"[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        _report(output, store.cases.reopen(image, store.cases.task_of(image, task), user=by, reason=reason))


@app.command("consensus")
def consensus(
    image: ImageArgument,
    task: TaskOption = None,
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="staple or majority.")] = "staple",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge the newest version of each reader into a new one; theirs stay as they are.

    Example: [bold]carina annotations consensus 1.2.840.113619.2.1 --method majority[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        from ..annotations.consensus import make_consensus  # SimpleITK, which the other commands need not load

        merged = make_consensus(store, image, task=store.cases.task_of(image, task) or None, method=method, user=by)
        readers = [store.get(source).user or "unnamed" for source in merged.sources]
        output.say(
            f"[green]Merged {len(readers)} readers' labels[/] ({escape(', '.join(readers))}) as version {merged.id}."
        )
        output.say(f"It counts once accepted: carina annotations accept {image} --annotation {merged.id}")
        output.result({**_facts(merged), "method": method, "readers": readers})


@app.command("leases")
def leases(
    release: Annotated[
        str | None, typer.Option("--release", metavar="IMAGE", help="Give this image back, whoever has it.")
    ] = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who has which image now; give one back for a reader who left.

    Examples: [bold]carina annotations leases[/], [bold]carina annotations leases --release 1.2.840.113619.2.1[/]
    """
    with command(as_json=as_json) as output, _store() as store:
        released = store.leases.release(release, None, by=by) if release else False
        if release:
            image = escape(release)
            output.say(f"[green]{image} is free.[/]" if released else f"{image} was free.")
        active = store.leases.active()
        output.table(
            "Leases", ["Image", "Holder", "Taken", "Until"],
            [[lease.image_id, lease.holder, lease.taken[:16], lease.expires[:16]] for lease in active],
        )  # fmt: skip
        output.result({"leases": [lease.to_json() for lease in active], "released": released})


@contextmanager
def _store() -> Iterator[AnnotationStore]:
    store = open_annotations(Settings())
    try:
        yield store
    finally:
        store.close()


def _report(output: Output, case: Case) -> None:
    output.say(f"[green]{case.image_id}[/] ({case.task or 'no task'}) is now [bold]{case.state}[/].")
    output.result(case.to_json())


def _facts(version: Annotation) -> dict[str, Any]:
    return {
        "annotation": version.id,
        "image": version.image_id,
        "task": version.task,
        "tag": version.tag,
        "sources": list(version.sources),
        "labels": dict(version.names),
    }


def _line(event: Event) -> list[str]:
    version, details = event.version, event.details
    changed = version.voxels_changed if version else None
    spent = version.time_spent_s if version else None
    model = version.model_version if version else details.get("model_version")
    return [
        f"{event.when:%Y-%m-%d %H:%M:%S}",
        event.who or "",
        event.action + (" (withdrawn)" if version and version.withdrawn and event.action != "withdraw" else ""),
        event.task or "",
        version.id[:_SHORT] if version else "",
        str(model or ""),
        "" if changed is None else f"{changed:,}",
        "" if spent is None else f"{spent / 60:.1f} min",
        _states(details),
        f"{event.document} {event.delivery}" if event.delivery else "",
    ]


def _states(details: Any) -> str:
    if "from" not in details:
        return ""
    step = f"{details['from']} → {details['to']}" if details["from"] != details["to"] else str(details["to"])
    return f"{step}: {details['reason']}" if details.get("reason") else step
