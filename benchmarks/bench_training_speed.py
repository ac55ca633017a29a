"""One training by carina and by MONAI Label's `BasicTrainTask`: same network, images, patches and steps, on the CPU.

    python benchmarks/bench_training_speed.py [--epochs 10] [--repeats 1] [--goals 0.4 0.5 0.6] [--threads 1] [--json]

Both train the network of thorax_ct from the same first weights on patches of 80³ voxels at 3 mm, one per step, with
AdamW at the same rate, and validate after every 16 steps. MONAI Label's side (`stock_training.py`) is its own task with
the transforms of its radiology app, `CacheDataset`, `ThreadDataLoader` and the app's sliding window. Carina does more:
it rotates, scales and shades patches, and it writes checkpoints.

Each run is a process of its own, in turn. CPU time is compared, which a machine's other work disturbs least. `samples`
leaves validation out; `whole` and the time to a mean validation Dice are everything since the start of the training,
preparation included.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from carina.images import write_image, write_label
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks
from carina.task import TaskSpec

TRAINING, VALIDATING = 8, 2
STEPS_PER_EPOCH = 16
SEED = 0
RATE = 4e-3


class Clock:
    """CPU and wall seconds since the start, and the share of them that steps took."""

    def __init__(self) -> None:
        self.began = self.now()
        self.steps = np.zeros(2)
        self.epochs: list[dict[str, float]] = []

    def now(self) -> np.ndarray:
        """CPU and wall seconds."""
        return np.array([time.process_time(), time.perf_counter()])

    def start(self) -> None:
        """A step begins."""
        self.started = self.now()

    def stop(self) -> None:
        """A step has ended."""
        self.steps += self.now() - self.started

    def epoch(self, dice: float) -> None:
        """A validation has ended."""
        cpu, wall = (self.now() - self.began).tolist()
        self.epochs.append({"dice": dice, "cpu_s": cpu, "wall_s": wall})

    def result(self) -> dict[str, Any]:
        """What a run gave."""
        samples = STEPS_PER_EPOCH * len(self.epochs)
        cpu, wall = self.steps.tolist()
        return {"samples_per_cpu_s": samples / cpu, "samples_per_wall_s": samples / wall, "epochs": self.epochs}


def write_phantoms(folder: Path, spec: TaskSpec) -> None:
    """NIfTI files with the task's label indices, which both sides read."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(TRAINING + VALIDATING):
        made = make_chest(number, oblique_deg=(6.0, -4.0, 9.0))
        table = np.zeros(max(made.structures.values()) + 1, dtype=np.uint8)
        for value, index in spec.labels.remap(made.structures).items():
            table[value] = index
        label = dataclasses.replace(made.label, array=table[made.label.array])
        write_image(folder / "images" / f"p{number:02d}.nii.gz", made.image)
        write_label(folder / "labels" / f"p{number:02d}.nii.gz", label)
    (folder / "labels" / "labels.json").write_text(json.dumps(spec.labels.indices))


def of_carina(folder: Path, epochs: int) -> dict[str, Any]:
    from carina.infers.sliding_window import predict
    from carina.models.store import ModelStore
    from carina.models.tracking import NoTracking
    from carina.trainers.dataset import read_case_folder
    from carina.trainers.splits import FileSplitStore
    from carina.trainers.training import train

    spec = find_tasks().get("thorax_ct")
    clock = Clock()

    class Watching(NoTracking):
        def start(self, *_given: Any, **_named: Any) -> Any:
            run = super().start(*_given, **_named)
            run.log_epoch = lambda number, values: finished(values)
            return run

    def stepped(step: Any) -> None:
        if step.step == 1:
            clock.start()  # the first step of each epoch is left out: when it began is not told
        if step.step == STEPS_PER_EPOCH:
            clock.stop()

    def finished(values: Mapping[str, float]) -> None:
        clock.epoch(values["validation_dice"])

    cases = read_case_folder(folder / "images", folder / "labels", spec)
    splits = FileSplitStore(folder / "models")
    parts = ["train"] * TRAINING + ["validation"] * VALIDATING
    splits.put(spec.name, {case.patient_id: part for case, part in zip(cases, parts, strict=True)})  # type: ignore[misc]
    options = dataclasses.replace(
        spec.trainer, max_epochs=epochs, steps_per_epoch=STEPS_PER_EPOCH, patience_epochs=epochs, seed=SEED,
        learning_rate=RATE,
    )  # fmt: skip
    train(
        cases, spec=spec, models=ModelStore(folder / "models"), splits=splits, predict=predict, options=options,
        work_dir=folder / "work", device="cpu", tracking=Watching(), on_step=stepped,
    )  # fmt: skip
    clock.steps *= STEPS_PER_EPOCH / (STEPS_PER_EPOCH - 1)
    return clock.result()


def of_monai_label(folder: Path, epochs: int) -> dict[str, Any]:
    import stock_training

    return stock_training.run(folder, epochs, Clock(), training=TRAINING, steps_per_epoch=STEPS_PER_EPOCH, rate=RATE)


SIDES = {"carina": of_carina, "monailabel": of_monai_label}


def in_child(side: str, epochs: int, threads: int) -> dict[str, Any]:
    """One side's training in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder, find_tasks().get("thorax_ct"))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        ran = subprocess.run(
            [sys.executable, __file__, "--side", side, "--folder", name, "--epochs", str(epochs)],
            env=environment, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    return json.loads(ran.stdout.splitlines()[-1])


def to_goal(run: Mapping[str, Any], goal: float) -> float | None:
    """CPU seconds until a validation reached the goal."""
    return next((epoch["cpu_s"] for epoch in run["epochs"] if epoch["dice"] >= goal), None)


def summary(runs: list[dict[str, Any]], goals: list[float]) -> dict[str, Any]:
    """The best of the repeats: what disturbs a run only ever makes it slower."""
    return {
        "samples_per_cpu_s": max(run["samples_per_cpu_s"] for run in runs),
        "samples_per_wall_s": max(run["samples_per_wall_s"] for run in runs),
        "cpu_s": min(run["epochs"][-1]["cpu_s"] for run in runs),
        "cpu_s_to": {
            str(goal): min((seconds for run in runs if (seconds := to_goal(run, goal)) is not None), default=None)
            for goal in goals
        },
        "dice": [round(epoch["dice"], 3) for epoch in runs[0]["epochs"]],
    }


def compared(ours: Mapping[str, Any], stock: Mapping[str, Any]) -> dict[str, float | None]:
    """How many times as fast carina is; None where one side did not reach a goal."""
    pairs = {goal: (stock["cpu_s_to"][goal], seconds) for goal, seconds in ours["cpu_s_to"].items()}
    return {
        "samples": ours["samples_per_cpu_s"] / stock["samples_per_cpu_s"],
        "whole": stock["cpu_s"] / ours["cpu_s"],
        **{f"to {goal}": None if None in pair else pair[0] / pair[1] for goal, pair in pairs.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10, help="of 16 steps")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--goals", type=float, nargs="+", default=[0.4, 0.5, 0.6])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments.folder, arguments.epochs)))
        return 0
    versions = {name: version(name) for name in ("torch", "monai", "monailabel")}
    print(f"Python {platform.python_version()}; {versions}; {arguments.threads} of {os.cpu_count()} cores; seed {SEED}")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(arguments.repeats):
        for side in SIDES:
            runs[side].append(in_child(side, arguments.epochs, arguments.threads))
            print(side, json.dumps(summary(runs[side][-1:], arguments.goals)), flush=True)
    ours, stock = (summary(runs[side], arguments.goals) for side in SIDES)
    ratio = compared(ours, stock)
    shown = ", ".join(f"{name} {'not reached' if value is None else f'×{value:.2f}'}" for name, value in ratio.items())
    print(f"carina is faster by: {shown}")
    if arguments.json:
        print(json.dumps({"carina": ours, "monailabel": stock, "ratio": ratio, "versions": versions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
