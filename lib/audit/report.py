"""The audit for people: one page with the verdicts first, then a picture of each measure."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from ..models.files import write_json
from ..models.intervals import Interval
from ..pages import heading, paragraph, picture, table, write_page
from .audit import Audit, Audited
from .column import spread
from .verdicts import worst

COLUMNS = ("Finding", "Check", "Measure", "Verdict", "Why", "What to do")

_CLASSES = {"ok": "ok", "flagged": "flagged", "cannot tell": "cannot-tell"}
_COLOURS = {"ok": "#17692c", "flagged": "#b00020", "cannot tell": "#b07a1e"}
_GREY = "0.6"


def report(audited: Audit, folder: Path) -> dict[str, Any]:
    """Write `audit.json` and `audit.html`.

    Args:
        audited: What to tell.
        folder: Made if it is not there.

    Returns:
        What `audit.json` holds.
    """
    content = audited.to_json()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "audit.json", content)
    blocks = [
        paragraph(
            f"Version {audited.version} on {audited.images} images of {audited.patients} patients; an answer is yes "
            f"from a probability of {audited.threshold:g} on. Intervals hold 95 %, by a bootstrap over patients. "
            f"The whole: {content['verdict']}. An audit finds only what these images show: no flag is no proof."
        ),
        table(COLUMNS, rows(audited), words=True, classes=_CLASSES),
    ]
    for one in audited.findings:
        blocks += _finding(one)
    write_page(
        folder / "audit.html",
        title=f"Audit of {audited.task} {audited.version}",
        heading=f"May it be trusted: {audited.task} {audited.version}",
        blocks=blocks,
    )
    return content


def rows(audited: Audit) -> list[list[str]]:
    """Every verdict as a line of a table, in the order of `COLUMNS`."""
    return [
        [one.column.name, verdict.check, verdict.measure, verdict.state, verdict.reason, verdict.advice]
        for one in audited.findings
        for verdict in one.verdicts
    ]


def _finding(one: Audited) -> list[str]:
    column = one.column
    return [
        heading(f"{column.name}: {worst(one.verdicts)}"),
        paragraph(f"{int(column.truths.sum())} of {len(column.truths)} images have it. AUROC {spread(one.auroc)}."),
        picture(_draw(one), described=f"Calibration, subgroups, shortcuts and consistency of {column.name}"),
    ]


def _draw(one: Audited) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    reliable, groups, changed, steady = figure.subplots(2, 2).ravel()
    _draw_reliability(reliable, one)
    _draw_subgroups(groups, one)
    _draw_effects(changed, one)
    _draw_steadiness(steady, one)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def _draw_reliability(axes: Any, one: Audited) -> None:
    measured = one.reliability
    claimed = [place.claimed for place in measured.bins]
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
    axes.vlines(
        claimed, [place.low for place in measured.bins], [place.high for place in measured.bins],
        color="0.8", linewidth=6, label="95 % if it were right",
    )  # fmt: skip
    axes.plot(claimed, [place.observed for place in measured.bins], "o-", label="observed")
    for place in measured.bins:
        axes.annotate(str(place.n), (place.claimed, place.observed), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share that has it",
        title=f"Calibration: error {measured.error:.3f}",
    )  # fmt: skip
    axes.legend(fontsize=8)


def _draw_subgroups(axes: Any, one: Audited) -> None:
    shown = [group for group in one.subgroups if group.auroc is not None]
    axes.axvline(one.auroc.mean or 0.5, color=_GREY, linewidth=1)
    _bars(
        axes,
        [f"{group.attribute} {group.group} ({group.positives}/{group.n})" for group in shown],
        [group.auroc for group in shown if group.auroc is not None],
        [_COLOURS[group.verdict.state] for group in shown],
    )
    small = len(one.subgroups) - len(shown)
    axes.set(
        xlim=(0, 1), xlabel="AUROC (images with the finding / all)",
        title="Subgroups" + (f"; {small} too small to show" if small else ""),
    )  # fmt: skip


def _draw_effects(axes: Any, one: Audited) -> None:
    states = {verdict.measure: verdict.state for verdict in one.verdicts}
    axes.axvline(0.5, color=_GREY, linewidth=1, linestyle="--")
    _bars(
        axes,
        ["as it is", *(effect.change for effect in one.effects)],
        [one.auroc, *(effect.auroc for effect in one.effects)],
        ["0.3", *(_COLOURS[states[effect.change]] for effect in one.effects)],
    )
    axes.set(xlim=(0, 1), xlabel="AUROC; 0.5 is chance", title="Shortcuts")


def _draw_steadiness(axes: Any, one: Audited) -> None:
    _bars(
        axes,
        [change.change for change in one.steadiness],
        [change.answers_changed for change in one.steadiness],
        ["0.3"] * len(one.steadiness),
    )
    axes.set(xlim=(-0.01, None), xlabel="share of changed answers", title="Consistency under small changes")


def _bars(axes: Any, names: Sequence[str], intervals: Sequence[Interval], colours: Sequence[str]) -> None:
    """One line per name, from above: a dot, and its interval."""
    for place, (interval, colour) in enumerate(zip(intervals, colours, strict=True)):
        if interval.mean is None:
            continue
        if interval.low is not None and interval.high is not None:
            axes.hlines(place, interval.low, interval.high, color=colour, linewidth=2)
        axes.plot(interval.mean, place, "o", color=colour)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
