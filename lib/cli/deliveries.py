"""`carina deliveries`: labels on their way to the PACS, and labels that were found there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import PacsError
from ..settings import Settings
from .options import JsonOption, StoreOption, UserOption
from .output import Output, Report, command, command_group

if TYPE_CHECKING:
    from ..annotations.deliveries import Delivery
    from ..annotations.store import AnnotationStore
    from ..datastores.port import ImageStore

app = command_group("Show, hurry and await deliveries to the PACS; adopt labels found there.")

_POLL_S = 0.2


class State(StrEnum):
    """States a delivery can be in, for `--state`."""

    pending = "pending"
    delivered = "delivered"
    failed = "failed"
    called_off = "called_off"


@app.command("list")
def list_deliveries(
    state: Annotated[State | None, typer.Option("--state", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was, is and could not be delivered, and why.

    Examples: [bold]carina deliveries list[/], [bold]carina deliveries list --state failed --json[/]
    """
    with command(as_json=as_json) as output, _annotations() as annotations:
        found = annotations.deliveries.newest(states=[state.value] if state else [], limit=limit)
        status = annotations.deliveries.status()
        output.table(
            "Deliveries",
            ["Annotation", "As", "State", "Tries", "Next try or arrival", "Last error"],
            [
                [one.annotation_id, one.document, one.state, str(one.attempts), _when(one), one.last_error or ""]
                for one in found
            ],
        )
        _say_status(output, status)
        output.result({"status": status, "deliveries": [asdict(one) for one in found]})


@app.command("retry")
def retry(
    annotation: Annotated[
        str | None,
        typer.Argument(metavar="[ANNOTATION]", help="One annotation's id; all that have not arrived without."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try again at once what failed or waits; a running server does so within seconds.

    Examples: [bold]carina deliveries retry[/], [bold]carina deliveries retry 4f0c…[/]
    """
    with command(as_json=as_json) as output, _annotations() as annotations:
        deliveries = annotations.deliveries
        count = deliveries.retry_all() if annotation is None else int(deliveries.retry(annotation).state == "pending")
        output.say(f"{count} to be tried again at once. Watch with [bold]carina deliveries wait[/].")
        output.result({"retried": count, "status": deliveries.status()})


@app.command("wait")
def wait(
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0, help="Give up after so many seconds.")] = 300.0,
    store: StoreOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until everything has arrived; without a running server, deliver it.

    Exit status 1 if something is still waiting, or needs a person.

    Examples: [bold]carina deliveries wait[/], [bold]carina deliveries wait --store orthanc+http://pacs:8042[/]
    """
    with command(as_json=as_json) as output, _annotations() as annotations, ExitStack() as stack:
        _ensure_outbox(stack, annotations, store, user)
        annotations.deliveries.retry_pending()
        with output.progress("Deliveries") as report:
            _await(annotations, report, timeout_s=timeout_s)
        status = annotations.deliveries.status()
        left = status["pending"] + status["failed"]
        if left:
            raise PacsError(
                f"Every label must have arrived, got {left} that have not. Last error: {status['last_error']} "
                "See 'carina deliveries list'."
            )
        _say_status(output, status)
        output.result({"status": status})


@app.command("adopt")
def adopt(
    image: Annotated[str | None, typer.Option("--image", metavar="ID", help="Only labels of this image.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be adopted.")] = False,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            help="ours, none, all, manufacturer:PATTERN, description:PATTERN, or several with commas. "
            "Default: CARINA_ADOPT, else ours.",
        ),
    ] = None,
    store: StoreOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over SEG objects and findings of the PACS as annotations, after a restored backup or from a second carina.

    Each object is adopted once; nothing that is here is changed. Objects of other makers are passed over by default.

    Examples: [bold]carina deliveries adopt --dry-run[/],
    [bold]carina deliveries adopt --rule ours,manufacturer:Acme*[/]
    """
    with command(as_json=as_json) as output, _annotations() as annotations, _images(store, user) as images:
        from ..annotations.adoption import parse_rule
        from ..server.adopting import Adopter

        adopter = Adopter(images, annotations, rule=parse_rule(rule or Settings().adoption_rule))
        with output.progress("Objects of the PACS") as report:
            findings = adopter.run(image_id=image, dry_run=dry_run, progress=report)
        counts = Counter(finding.outcome for finding in findings)
        output.table(
            "SEG objects and reports in the PACS",
            ["SOP Instance UID", "Outcome", "Tag", "Annotation", "Reason"],
            [
                [one.sop_instance_uid, one.outcome, one.tag or "", one.annotation_id or "", one.reason]
                for one in findings
                if one.outcome != "known"
            ],
        )
        if counts:
            output.say(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
        output.result({"counts": dict(counts), "objects": [asdict(finding) for finding in findings]})


@contextmanager
def _annotations() -> Iterator[AnnotationStore]:
    from ..annotations.store import open_annotations

    annotations = open_annotations(Settings())
    try:
        yield annotations
    finally:
        annotations.close()


@contextmanager
def _images(store_url: str | None, user: str | None) -> Iterator[ImageStore]:
    from .stores import image_store

    with image_store(Settings(), store_url, user=user) as images:
        yield images


def _ensure_outbox(stack: ExitStack, annotations: AnnotationStore, store_url: str | None, user: str | None) -> None:
    """A running server delivers; without one this process does."""
    from .stores import running_server

    if running_server(Settings()) is not None or annotations.deliveries.next_due() is None:
        return
    from ..annotations.outbox import Outbox
    from ..registry import find_tasks
    from ..server.delivery import PacsDelivery

    images = stack.enter_context(_images(store_url, user))
    outbox = Outbox(annotations, PacsDelivery(store=images, annotations=annotations, tasks=find_tasks()))
    outbox.start()
    stack.callback(outbox.stop)


def _await(annotations: AnnotationStore, report: Report, *, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    first = annotations.deliveries.counts()["pending"]
    while (pending := annotations.deliveries.counts()["pending"]) and time.monotonic() < end:
        report(1 - min(pending / max(first, 1), 1.0), f"{pending} waiting")
        time.sleep(_POLL_S)


def _when(delivery: Delivery) -> str:
    moment = delivery.delivered_at if delivery.state == "delivered" else delivery.next_try
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _say_status(output: Output, status: dict[str, Any]) -> None:
    colour = "red" if status["failed"] else "yellow" if status["pending"] else "green"
    output.say(
        f"[{colour}]{status['delivered']} delivered, {status['pending']} waiting, {status['failed']} need a person[/]"
    )
