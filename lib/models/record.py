"""What a finished training leaves in the tracking: its picture, data manifest, the gate's decision, and a note."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .gate import Decision
from .tracking import NAME, NOTE, TrainingRun
from .version import ModelVersion

DECISION_ARTIFACT = "gate/decision.json"
MANIFEST_ARTIFACT = "data/manifest.json"


def record_outcome(run: TrainingRun, version: ModelVersion, decision: Decision, picture: Path) -> None:
    """Keep what came out of a training and end its run.

    Args:
        run: Of the training.
        version: That was stored.
        decision: Of the gate.
        picture: Served, candidate and reference beside each other.
    """
    run.log_json(DECISION_ARTIFACT, decision.to_json())
    run.log_json(MANIFEST_ARTIFACT, dict(version.data))
    run.log_picture(picture)
    run.finish(
        status="FINISHED",
        tags={
            NAME: f"{version.task} {version.version}",
            NOTE: note(version, decision.to_json()),
            "version": version.version,
            "promoted": str(decision.promoted).lower(),
            "reason": decision.reason,
            "weights_sha256": version.sha256,
            "data_sha256": version.data_sha256 or "",
            "task_fingerprint": version.fingerprint,
            "source_sha256": version.code.get("source_sha256", ""),
        },
    )


def note(version: ModelVersion, decision: Mapping[str, Any]) -> str:
    """The outcome as Markdown, for people: the decision, then the gate's table.

    Args:
        version: That was judged.
        decision: `Decision.to_json()`.
    """
    verdict = "**promoted**" if decision["promoted"] else "**kept back**"
    against = f"compared with {decision['served']}" if decision["served"] else "compared with nothing"
    reason = str(decision["reason"])
    lines = [
        f"### {version.task} {version.version}: {verdict}",
        f"{reason[:1].upper()}{reason[1:]}.",
        f"Gate: {against}, {decision['cases']} {decision['measured_on']} case(s) of {decision['patients']} patient(s), "
        f"a label may fall by {decision['margin']:g}.",
    ]
    if start := version.data.get("start"):
        lines.append(f"Started from {start['chosen']}: {start['reason']}.")
    if decision["per_label"]:
        head = f"| {' | '.join(gate_columns(decision))} |\n|---|---|---|---|---|---|---|"
        lines.append("\n".join([head, *(f"| {' | '.join(gate_row(row))} |" for row in decision["per_label"])]))
    return "\n\n".join(lines)


def gate_columns(decision: Mapping[str, Any]) -> list[str]:
    """Heads of the gate's table, from `Decision.to_json()`."""
    return ["Label", "Cases", decision.get("metric", "Dice"), "Served", "Difference", "Verdict", "Why"]


def gate_row(row: Mapping[str, Any]) -> list[str]:
    """One label of the gate's table as text, in the order of `gate_columns`."""
    difference = "" if row["difference"] is None else f"{row['difference']:+.3f}"
    if row["interval"] is not None:
        difference += f" ({row['interval'][0]:+.3f} to {row['interval'][1]:+.3f})"
    numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("candidate", "served")]
    return [row["label"], str(row["cases"]), *numbers, difference, row["verdict"], row["reason"]]
