"""`carina simulate`: which strategy would have saved labels on images whose labels are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..registry import find_tasks
from .options import DeviceOption, ImagesOption, JsonOption, LabelsOption, TaskArgument, three_sizes
from .output import command


def simulate(
    task: TaskArgument,
    images: ImagesOption,
    labels: LabelsOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where rounds, curves and the report go.")],
    strategies: Annotated[
        str, typer.Option("--strategies", metavar="A,B", help="To compare with random; all for every one.")
    ] = "hybrid,uncertainty,coverage",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Repetitions, each with another test set.")] = 5,
    start: Annotated[int, typer.Option("--start", min=1, help="Labels of the first round.")] = 4,
    step: Annotated[int, typer.Option("--step", min=1, help="Labels each further round adds.")] = 4,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="At most so many.")] = 10,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of a round.")] = 60,
    first_steps: Annotated[
        int | None, typer.Option("--first-steps", min=1, help="Of the first round, which starts from nothing.")
    ] = None,
    matrix: Annotated[
        str | None, typer.Option("--matrix", metavar="X,Y,Z", help="Stretch every image to so many voxels.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Patches of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Peak of each round.")] = None,
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", help="Share of the patients that measure and are never chosen.")
    ] = 0.3,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes at once; with 2 or more one thread each.")] = 1,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Simulate labelling: labels are revealed as a strategy chooses images, and a network learns after every round.

    Test patients are fixed by the seed and the same for every strategy. Every finished round is kept: after Ctrl-C or a
    crash the same command goes on. The report compares labels needed, area under the curve and correction effort with
    random in the same run.

    Examples:
    [bold]carina simulate thorax_ct --images p/images --labels p/labels --matrix 48,48,32 --seeds 3 --out sim[/],
    [bold]carina simulate cxr_anatomy --images cxr --labels cxr --strategies all --jobs 2 --out sim-cxr --json[/]
    """
    with command(as_json=as_json) as output:
        from ..networks.factory import require_network
        from ..simulate.plan import Plan, parse_strategies

        require_network(find_tasks().get(task))
        plan = Plan(
            task=task,
            images=str(images.resolve()),
            labels=str(labels.resolve()),
            strategies=tuple(parse_strategies(strategies)),
            seeds=seeds,
            start=start,
            step=step,
            rounds=rounds,
            steps=steps,
            first_steps=first_steps,
            matrix_voxels=three_sizes(matrix, option="--matrix") if matrix else None,
            batch_size=batch_size,
            learning_rate=learning_rate,
            test_fraction=test_fraction,
            device=device,
        )
        from ..simulate import processes
        from ..simulate.report import COLUMNS, report, rows
        from .training import stoppable

        with stoppable() as stopped, output.progress(f"Simulate {task}") as progress:
            processes.simulate(plan, out, processes=jobs, progress=progress, cancelled=stopped)
        result = report(plan, out)
        output.table(f"{task}, {seeds} seeds", list(COLUMNS), rows(result))
        output.say(f"[green]{out / 'report.html'}[/] and curves.png, result.json beside it.")
        output.result(
            {**result, "report": str(out / "report.html"), "curves": str(out / "curves.png")}
        )  # fmt: skip
