"""Retrains after 8 new corrections on top of 40, from scratch and from the served version, and compares.

    python benchmarks/bench_warm_start.py [--seeds 3] [--other-scanner] [--only scratch …] [--json]

Every training is `trainers.training.train` with the options of thorax_ct (half the steps of an epoch), on
phantoms at a small matrix. The version
served has learned 40 patients; then 8 more come. With `--other-scanner` these 8, and half of the validation and holdout
patients, are brighter and noisier than the 40, so that something has to be learned and something can be forgotten.

    steps     until the validation Dice is that of the training from scratch, ÷ the steps that one took; a step costs
              the same in both, so this is the ratio of times without the noise of the machine
    seconds   of the whole fitting, ÷ those of the one from scratch
    holdout   mean Dice minus that of the one from scratch, with the interval of a bootstrap over patients
    worse     labels that lose more than the gate's margin, and more than chance explains
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from small_phantoms import patient, rows_of_seeds, small_task

from carina.infers.sliding_window import predict
from carina.models.gate import Candidate, Decision, decide
from carina.models.store import ModelStore
from carina.trainers.cases import Case
from carina.trainers.splits import FileSplitStore, Part
from carina.trainers.training import TrainResult, train
from carina.trainers.warm_start import NOTHING, SERVED

LEARNED, CORRECTED, VALIDATING, HELD_OUT = 40, 8, 6, 12
NEAR = 0.005
"""A validation Dice this close to the one from scratch counts as that; a sixth of a voxel's worth on these phantoms."""
WARM: dict[str, dict[str, Any]] = {
    "whole": {"warm_share": 1.0, "new_share": 0.0},
    "short": {"warm_share": 0.25, "new_share": 0.0},
    "short, new": {"warm_share": 0.25, "new_share": 0.5},
    "short, ema": {"warm_share": 0.25, "new_share": 0.5, "ema": 0.98},
}


class Bench:
    """One seed: its own patients, first weights and patches."""

    def __init__(self, folder: Path, seed: int, arguments: argparse.Namespace) -> None:
        self.folder, self.seed = folder, seed
        self.spec = small_task()
        options = dataclasses.replace(self.spec.trainer, seed=seed)
        self.spec = dataclasses.replace(self.spec, trainer=options)
        first, other = 1000 * seed, arguments.other_scanner
        numbers = iter(range(first, first + LEARNED + CORRECTED + VALIDATING + HELD_OUT))
        self.parts: dict[str, Part] = {}
        self.old: list[Case] = []
        self.new: list[Case] = []
        plan: list[tuple[int, Part, bool]] = [
            (LEARNED, "train", False), (CORRECTED, "train", True),
            (VALIDATING // 2, "validation", False), (VALIDATING // 2, "validation", True),
            (HELD_OUT // 2, "holdout", False), (HELD_OUT // 2, "holdout", True),
        ]  # fmt: skip
        for count, part, late in plan:
            for _ in range(count):
                case = patient(next(numbers), self.spec, other_scanner=other and late)
                self.parts[case.patient_id] = part
                (self.new if late else self.old).append(case)

    def train(self, cases: list[Case], home: str, *, start_from: str, **options: Any) -> TrainResult:
        """Train in a home of its own, over what is served there."""
        models = ModelStore(self.folder / home)
        splits = FileSplitStore(models.root)
        if not splits.get(self.spec.name):
            splits.put(self.spec.name, self.parts)
        return train(
            cases,
            spec=self.spec,
            models=models,
            splits=splits,
            predict=predict,
            work_dir=self.folder / "work",
            options=dataclasses.replace(self.spec.trainer, **options),
            device="auto",
            start_from=start_from,
        )

    def rows(self, only: list[str]) -> list[dict[str, Any]]:
        """One per way of retraining."""
        cases = self.old + self.new
        scratch = self.train(cases, "scratch", start_from=NOTHING)
        goal = max(epoch.dice or 0.0 for epoch in scratch.history)
        found = [self._row("scratch", scratch, scratch, goal)]
        served = self.train(self.old, "served", start_from=NOTHING)
        for name in only or WARM:
            models = ModelStore(self.folder / "served")
            models.promote(self.spec.name, served.version.version, reason="benchmark")
            warm = self.train(cases, "served", start_from=SERVED, **WARM[name])
            found.append(self._row(name, warm, scratch, goal))
        return found

    def compared(self, result: TrainResult, other: TrainResult) -> Decision:
        """Their scores on the holdout patients, as the gate compares them."""
        return decide(
            Candidate(scores=result.evaluation.scores(), patients=result.evaluation.patients()),
            other.evaluation.scores(), margin=self.spec.trainer.gate_margin, seed=self.seed,
        )  # fmt: skip

    def _row(self, name: str, result: TrainResult, scratch: TrainResult, goal: float) -> dict[str, Any]:
        steps = self.spec.trainer.steps_per_epoch
        reached = [epoch.number for epoch in result.history if (epoch.dice or 0.0) >= goal - NEAR]
        whole = [epoch.number for epoch in scratch.history if (epoch.dice or 0.0) >= goal - NEAR]
        seconds = [sum(epoch.seconds for epoch in one.history) for one in (result, scratch)]
        decision = self.compared(result, scratch)
        row = {
            "seed": self.seed,
            "way": name,
            "steps": reached[0] * steps if reached else None,
            "steps_ratio": reached[0] / whole[0] if reached else None,
            "seconds_ratio": seconds[0] / seconds[1],
            "validation": [round(epoch.dice or 0.0, 4) for epoch in result.history],
            "averaged": [epoch.averaged for epoch in result.history].count(True),
            "holdout": decision.mean_difference,
            "interval": decision.interval,
            "worse": {
                row.label: round(row.difference or 0.0, 4) for row in decision.per_label if row.verdict == "worse"
            },
            "promoted": result.promoted,
        }
        print(json.dumps(row), flush=True)
        return row


def mean(values: list[Any]) -> float | None:
    """None where one is not there: not reached."""
    return None if None in values else float(np.mean(values))


def main() -> int:
    """Print every training as a line of JSON, then a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--other-scanner", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], choices=list(WARM))
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    rows = rows_of_seeds(arguments.seeds, lambda folder, seed: Bench(folder, seed, arguments).rows(arguments.only))
    table = []
    for name in dict.fromkeys(row["way"] for row in rows):
        mine = [row for row in rows if row["way"] == name]
        keys = ("steps_ratio", "seconds_ratio", "holdout")
        table.append({"way": name, **{key: mean([row[key] for row in mine]) for key in keys}})
        table[-1]["worse"] = [row["worse"] for row in mine]
        shown = ", ".join(f"{key} {'not reached' if (v := table[-1][key]) is None else f'{v:.3f}'}" for key in keys)
        print(f"{name:12} {shown}, worse {table[-1]['worse']}")
    if arguments.json:
        print(json.dumps({"other_scanner": arguments.other_scanner, "table": table, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
