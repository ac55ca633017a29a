"""`carina demo`: shows that this installation drafts, learns and drafts better, on phantoms and without a network."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInputError
from ..settings import Settings
from .options import JsonOption
from .output import Output, command

if TYPE_CHECKING:
    from .demo_loop import DemoResult

LEAST_DICE_AFTER = 0.85
LEAST_IMPROVEMENT = 0.2
_PICTURE = "demo.png"


def demo(
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="New or empty folder; default: a temporary one.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving afterwards, until Ctrl-C.")] = False,
    cases: Annotated[int, typer.Option("--cases", min=5, help="How many phantom patients; one is held out.")] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first patient.")] = 100,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Of the second training; default: the task's own.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop once: studies into Orthanc, a weak draft, corrections, training, a better draft, SEG back.

    Takes about three minutes on two cores, needs no internet and touches nothing outside its folder. Exit status 1 if
    the second draft is not good enough, or if anything is lost on the way.

    Examples: [bold]carina demo[/], [bold]carina demo --keep[/] to look at the result in Slicer or Orthanc
    """
    with command(as_json=as_json) as output:
        started = time.monotonic()
        settings = Settings(home=_prepare_home(home), port=0)
        from ..server import compat

        compat.install()
        from ..server.running import RunningServer
        from .demo_loop import DemoLoop
        from .serving import show_where_to_click

        with contextlib.ExitStack() as stack:
            with output.progress("Start server and Orthanc"):
                server = stack.enter_context(RunningServer(settings))
            output.say(f"[bold]carina[/] runs at {server.url}, its Orthanc at {server.address.pacs_url}")
            result = DemoLoop(
                address=server.address,
                folder=settings.home / "demo",
                cases=cases,
                seed=seed,
                epochs=epochs,
                step=output.step,
            ).run()
            content = _report(output, result, settings)
            output.result({**content, "url": server.url, "seconds": round(time.monotonic() - started, 1)})
            show_where_to_click(output, settings, server.address)
            output.say(f"  This study {result.held_out.patient_id}, study {result.held_out.study_instance_uid}")
            if keep:
                output.finish()
                _wait(output)
            else:
                output.say("These addresses end with the demo; [bold]carina demo --keep[/] goes on serving them.")
    if content["failures"]:
        raise typer.Exit(1)


def _prepare_home(home: Path | None) -> Path:
    if home is None:
        return Path(tempfile.mkdtemp(prefix="carina-demo-"))
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InvalidInputError(f"The demo's home must be a new or empty folder, got '{home}'. Choose another --home.")
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


def find_failures(result: DemoResult) -> list[str]:
    """What the loop failed to show, in sentences; empty when all is well."""
    before, after = result.before.mean_dice, result.after.mean_dice
    checks = (
        (after >= LEAST_DICE_AFTER, f"The second draft must reach a Dice of {LEAST_DICE_AFTER}, got {after:.3f}."),
        (after - before >= LEAST_IMPROVEMENT, f"Dice must rise by {LEAST_IMPROVEMENT}, got {after - before:.3f}."),
        (result.promoted, f"The gate must promote the second model, got: {result.reason}"),
        (
            result.after.model_version != result.before.model_version,
            f"The second draft must come from the new model, got {result.after.model_version}.",
        ),
        (not result.leaked, "The held-out study must not be trained on, but was."),
        (result.seg_identical, "The SEG read back from the PACS must equal the label voxel for voxel, but does not."),
    )
    return [sentence for passed, sentence in checks if not passed]


def _report(output: Output, result: DemoResult, settings: Settings) -> dict[str, Any]:
    """Table, picture and verdict for people; what JSON holds of them."""
    from ..registry import find_tasks
    from .overlay import write_comparison

    before, after, study = result.before, result.after, result.held_out
    spec = find_tasks().get("thorax_ct")
    picture = settings.home / _PICTURE
    drawn = {
        "truth": study.truth,
        f"draft before ({before.model_version}), Dice {before.mean_dice:.2f}": before.label,
        f"draft after ({after.model_version}), Dice {after.mean_dice:.2f}": after.label,
    }
    write_comparison(picture, study.image, drawn, spec)
    rows = [
        [name, f"{before.dice[name]:.3f}", f"{after.dice[name]:.3f}", f"{after.dice[name] - before.dice[name]:+.3f}"]
        for name in spec.labels.names
    ]
    change = after.mean_dice - before.mean_dice
    rows.append(["mean", f"{before.mean_dice:.3f}", f"{after.mean_dice:.3f}", f"{change:+.3f}"])
    output.table(
        f"Dice of {study.patient_id}, which no training saw",
        ["Label", f"before ({before.model_version})", f"after ({after.model_version})", "change"],
        rows,
    )
    failures = find_failures(result)
    for sentence in failures:
        output.say(f"[bold red]✗[/] [red]{sentence}[/]")
    if not failures:
        output.say(f"[bold green]✓[/] promoted: {result.reason}")
        output.say(f"[bold green]✓[/] SEG {result.sop_instance_uid} read back from Orthanc, every voxel equal")
    output.say(f"Picture: {picture}\nState:   {settings.home}")
    return {
        "dice_before": before.mean_dice,
        "dice_after": after.mean_dice,
        "labels": {name: {"before": before.dice[name], "after": after.dice[name]} for name in spec.labels.names},
        "versions": {"before": before.model_version, "after": after.model_version},
        "promoted": result.promoted,
        "reason": result.reason,
        "seg_sop_instance_uid": result.sop_instance_uid,
        "seg_identical": result.seg_identical,
        "failures": failures,
        "png": str(picture),
        "home": str(settings.home),
    }


def _wait(output: Output) -> None:
    output.say("Serving until Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
