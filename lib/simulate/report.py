"""The results of a simulation: JSON, the curves as a picture, and one page that holds both for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidInputError
from ..models.files import write_json
from ..pages import paragraph, table, write_page
from ..pages import picture as embedded
from .curves import Curves, Summary, summarise
from .plan import BASELINE, FULL, Plan
from .rounds import Journal, Round

_COLOURS = 10
_BANDS = 5
"""Of more strategies than this the intervals of all would hide each other."""

COLUMNS = ("Strategy", "Area ÷ random", "Area − random", "Labels for 90 %", "÷ random", "Labels for 95 %", "÷ random",
            "Voxels corrected ÷ random", "Outline drawn anew ÷ random")  # fmt: skip


def report(plan: Plan, folder: Path) -> dict[str, Any]:
    """Write `result.json`, `curves.png` and `report.html` from the rounds on disk.

    Args:
        plan: Whose runs are all there.
        folder: Of the simulation.

    Returns:
        What `result.json` holds.

    Raises:
        InvalidInputError: If a run is missing.
    """
    runs = {run: Journal(folder, *run).read() for run in plan.runs}
    missing = [f"{name} with seed {seed}" for (name, seed), rounds in runs.items() if not rounds]
    if missing:
        raise InvalidInputError(f"A simulation must have all its runs, got none of {missing[0]}. Run it again.")
    # Test sets differ in size where patients have several images, and so do pools: what all runs have is compared.
    shortest = min(len(rounds) for (name, _), rounds in runs.items() if name != FULL)
    labels = [finished.labels for finished in runs[BASELINE, 0][:shortest]]
    full = np.array([runs[FULL, seed][0].score for seed in range(plan.seeds)])
    scores = {name: _curves(runs, plan, name, "score", shortest) for name in plan.compared}
    efforts = {name: _curves(runs, plan, name, "voxels_changed", shortest) for name in plan.compared}
    contours = {name: _curves(runs, plan, name, "contour_added", shortest) for name in plan.compared}
    summaries = summarise(scores, labels=labels, full=full, efforts=efforts, contours=contours)
    result = {
        "task": plan.task,
        "plan": plan.to_json(),
        "labels": labels,
        "full_pool": {"labels": [runs[FULL, seed][0].labels for seed in range(plan.seeds)], "scores": full.tolist()},
        "strategies": {one.strategy: one.to_json() for one in summaries},
        "per_label": {name: _per_label(runs, plan, name, shortest) for name in plan.compared},
        "seconds": round(sum(one.seconds for rounds in runs.values() for one in rounds), 1),
    }
    write_json(folder / "result.json", result)
    picture = folder / "curves.png"
    _draw(picture, summaries, full=float(full.mean()), title=f"{plan.task}, {plan.seeds} seeds")
    _write_page(folder / "report.html", result, picture, plan)
    return result


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Every strategy of `result.json` as a line of a table, in the order of `COLUMNS`."""
    return [
        [
            name,
            _text(one["area_ratio"], 3),
            _text(one["area_difference"], 3),
            _text(one["needed"]["90%"], 1),
            _text(one["needed_ratio"]["90%"], 2),
            _text(one["needed"]["95%"], 1),
            _text(one["needed_ratio"]["95%"], 2),
            _text(one["effort_ratio"], 2),
            _text(one["contour_ratio"], 2),
        ]
        for name, one in result["strategies"].items()
    ]


def _curves(
    runs: Mapping[tuple[str, int], list[Round]], plan: Plan, name: str, field: str, length: int
) -> Curves:  # fmt: skip
    """`(seeds, rounds)`."""
    return np.array([[getattr(one, field) for one in runs[name, seed][:length]] for seed in range(plan.seeds)], float)


def _per_label(
    runs: Mapping[tuple[str, int], list[Round]], plan: Plan, name: str, length: int
) -> dict[str, list[float | None]]:
    """Label → after each round the mean Dice over the seeds that define it."""
    names = sorted({label for seed in range(plan.seeds) for one in runs[name, seed] for label in one.dice})
    found: dict[str, list[float | None]] = {}
    for label in names:
        columns = [
            [
                runs[name, seed][number].dice[label]
                for seed in range(plan.seeds)
                if label in runs[name, seed][number].dice
            ]
            for number in range(length)
        ]
        found[label] = [float(np.mean(values)) if values else None for values in columns]
    return found


def _draw(path: Path, summaries: list[Summary], *, full: float, title: str) -> None:
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    figure = Picture(figsize=(14, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    by_labels, by_effort, by_contour = figure.subplots(1, 3, sharey=True)
    colours = colormaps["tab10" if len(summaries) <= _COLOURS else "tab20"]
    by_labels.set_prop_cycle(color=list(colours(range(colours.N))))
    for one in summaries:
        style = {"color": "black", "linewidth": 2.5} if one.strategy == BASELINE else {}
        across = [point["labels"] for point in one.curve]
        mean, low, high = ([point[name] for point in one.curve] for name in ("mean", "low", "high"))
        (line,) = by_labels.plot(across, mean, label=one.strategy, marker=".", **style)
        if None not in low + high and (one.strategy == BASELINE or len(summaries) <= _BANDS):
            by_labels.fill_between(across, low, high, alpha=0.12, color=line.get_color())
        by_effort.plot([point["voxels_changed"] for point in one.curve], mean, color=line.get_color(), marker=".")
        by_contour.plot([point["contour_added"] for point in one.curve], mean, color=line.get_color(), marker=".")
    by_labels.axhline(full, linestyle=":", color="grey", label="whole pool")
    by_labels.axhline(0.95 * full, linestyle="--", color="grey", linewidth=0.8, label="95 % of it")
    by_labels.set(xlabel="labelled images", ylabel="mean Dice on test images", title=title)
    by_effort.set(xlabel="voxels corrected so far", title="by effort of correcting")
    by_contour.set(xlabel="voxels of outlines drawn anew so far", title="by outlines drawn anew")
    by_labels.legend(fontsize=8, ncols=1 if len(summaries) <= _BANDS else 2)
    for axes in (by_effort, by_contour):
        axes.locator_params(axis="x", nbins=5)  # numbers of six digits
    figure.savefig(path, dpi=120)


def _write_page(path: Path, result: Mapping[str, Any], picture: Path, plan: Plan) -> None:
    write_page(
        path,
        title=f"Simulation of {plan.task}",
        heading=f"Which image to label next: {plan.task}",
        blocks=[
            paragraph(
                f"{plan.seeds} seeds; {plan.start} labels at first, then {plan.step} more each round; {plan.steps} "
                "optimiser steps a round. 95 % intervals by a bootstrap over seeds in brackets. A ratio below 1 for "
                "labels, above 1 for area, is better than random."
            ),
            table(COLUMNS, rows(result)),
            embedded(picture.read_bytes(), described="Learning curves of every strategy"),
        ],
    )


def _text(figure: Mapping[str, float | None], digits: int) -> str:
    if figure["value"] is None:
        return "not reached"
    value = f"{figure['value']:.{digits}f}"
    if figure["low"] is None:
        return value
    high = "…" if figure["high"] is None else f"{figure['high']:.{digits}f}"
    return f"{value} [{figure['low']:.{digits}f}, {high}]"
