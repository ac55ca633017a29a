"""A picture of how a model tells findings: ROC curves, one panel per model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..images import write_atomically
from ..labels import LabelSet
from .findings_evaluation import FindingsEvaluation

_INCHES = 4.0
_MOST_IN_LEGEND = 6


def write_roc(path: Path, panels: Sequence[tuple[str, FindingsEvaluation]], *, labels: LabelSet) -> None:
    """Draw the curves of all findings that both classes of images define.

    Args:
        path: `.png`, written atomically.
        panels: Title and evaluation, left to right.
        labels: For the colours.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES * len(panels), _INCHES), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for column, (title, evaluation) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), column + 1)
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        means = evaluation.means()
        drawn = [name for name, row in means.items() if row["auroc"] is not None]
        for name in drawn:
            colour = [channel / 255 for channel in labels.named(name).colour]
            axes.step(*_curve(evaluation, name), where="post", color=colour, label=f"{name} {means[name]['auroc']:.3f}")
        axes.set(title=title, xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        if 0 < len(drawn) <= _MOST_IN_LEGEND:
            axes.legend(loc="lower right", fontsize=8)
    write_atomically(path, lambda temporary: canvas.print_png(str(temporary)))


def _curve(evaluation: FindingsEvaluation, name: str) -> tuple[list[float], list[float]]:
    """False and true positive rates from the strictest threshold to the loosest."""
    asked = [case for case in evaluation.cases if name in case.truths]
    scores = np.array([case.probabilities[name] for case in asked])
    truths = np.array([case.truths[name] for case in asked], dtype=bool)
    thresholds = np.unique(scores)[::-1]
    rates = [(float(np.mean(scores[~truths] >= at)), float(np.mean(scores[truths] >= at))) for at in thresholds]
    return [0.0, *(false for false, _ in rates)], [0.0, *(true for _, true in rates)]
