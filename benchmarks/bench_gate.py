"""Trains on wrong labels, again and again, and shows what the promotion gate says to each candidate.

Real trainings of a small network on phantoms, each with another seed:

    honest     true labels, nothing served: the gate must not be in the way
    first      every label in random voxels, holdout included, while nothing is served
    over       labels of training and validation patients in random voxels, over a served model
    names      the right voxels under names that are shuffled anew for every training patient, over a served model
    one step   as `over`, but so short that the candidate is the served model plus noise
    rare       true labels, except that one label at a time is missing from the training patients, over a served model

    python benchmarks/bench_gate.py [--trainings 10] [--only first over …] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.phantoms.chest import make_chest
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, TrainerOptions, Window
from carina.trainers.cases import Case
from carina.trainers.splits import FileSplitStore, Part
from carina.trainers.training import TrainResult, train

SEED = 0
LABELS = ("lung_left", "lung_right", "heart", "spine")
PARTS: dict[str, Part] = {
    "p0": "train", "p1": "train", "p2": "train", "p3": "train", "p4": "validation", "p5": "holdout", "p6": "holdout",
}  # fmt: skip
SPEC = TaskSpec(
    name="bench_ct",
    kind="segmentation",
    description="Large structures of phantoms, at 12 mm.",
    modality=("CT",),
    dimension=3,
    labels=label_set(*LABELS),
    spacing_mm=(12.0, 12.0, 12.0),
    intensity=Window(lower=-1000.0, upper=400.0),
    roi_voxels=(32, 32, 24),
    network=NetworkSpec(name="light_unet", arguments={"channels": (16, 32, 64), "strides": (2, 2)}),
    trainer=TrainerOptions(
        max_epochs=4, steps_per_epoch=15, batch_size=1, patch_voxels=(32, 32, 24), learning_rate=8e-3, patience_epochs=4
    ),
)
Wrong = Callable[[Case, int], Case]


def patients() -> list[Case]:
    """One phantom per patient, oblique."""
    cases = []
    for number, patient in enumerate(PARTS):
        phantom = make_chest(100 + number, shape=(28, 28, 22), oblique_deg=(6.0, -4.0, 9.0))
        wanted = SPEC.labels.remap(phantom.structures)
        label = np.zeros_like(phantom.label.array)
        for value, index in wanted.items():
            label[phantom.label.array == value] = index
        pair = (
            Volume(phantom.image.array.astype(np.float32), phantom.image.grid),
            Volume(label, phantom.label.grid),
        )
        cases.append(Case(image_id=patient, patient_id=patient, load=lambda pair=pair: pair, revision="true"))
    return cases


def relabelled(case: Case, change: Callable[[np.ndarray], np.ndarray], revision: str) -> Case:
    """The case with its label map changed."""

    def load() -> tuple[Volume, Volume]:
        image, label = case.load()
        return image, Volume(change(label.array).astype(np.uint8), label.grid)

    return dataclasses.replace(case, load=load, revision=revision)


def in_random_voxels(case: Case, seed: int) -> Case:
    random = np.random.default_rng([seed, int(case.patient_id[1:])])
    return relabelled(case, lambda label: random.permutation(label.ravel()).reshape(label.shape), f"voxels-{seed}")


def under_random_names(case: Case, seed: int) -> Case:
    names = np.random.default_rng([seed, int(case.patient_id[1:])]).permutation(len(LABELS)) + 1
    return relabelled(case, lambda label: np.concatenate([[0], names])[label], f"names-{seed}")


def not_held_out(cases: list[Case], change: Wrong, seed: int) -> list[Case]:
    return [case if PARTS[case.patient_id] == "holdout" else change(case, seed) for case in cases]


class Bench:
    """One installation with a served model, and as many wrong trainings over it as wanted."""

    def __init__(self, folder: Path, trainings: int) -> None:
        self.folder, self.trainings = folder, trainings
        self.cases = patients()

    def rows(self, only: list[str]) -> Iterator[dict[str, Any]]:
        """One row per training."""
        kinds = {
            "honest": self._honest, "first": self._first, "over": self._over, "names": self._names,
            "one step": self._one_step, "rare": self._rare,
        }  # fmt: skip
        for name in only or kinds:
            for what, result, must in kinds[name]():
                row = {"kind": name, "what": what, "promoted": result.promoted, "reason": result.decision.reason}
                yield row | {"as_it_must": must is None or result.promoted == must}

    def _honest(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        for seed in range(max(1, self.trainings // 3)):
            yield f"seed {seed}", self.train(self.cases, f"honest{seed}", seed=seed), True

    def _first(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        for seed in range(self.trainings):
            wrong = [in_random_voxels(case, seed) for case in self.cases]
            yield f"seed {seed}", self.train(wrong, f"first{seed}", seed=seed), False

    def _over(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        yield from self._over_served("over", in_random_voxels)

    def _names(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        yield from self._over_served("names", under_random_names)

    def _one_step(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        yield from self._over_served("one step", in_random_voxels, max_epochs=1, steps_per_epoch=1, learning_rate=1e-6)

    def _rare(self) -> Iterator[tuple[str, TrainResult, bool | None]]:
        for name in LABELS:
            index = SPEC.labels.named(name).index
            erase: Wrong = lambda case, seed, index=index: relabelled(  # noqa: E731
                case, lambda label: np.where(label == index, 0, label), f"without-{index}"
            )
            result = self.train(not_held_out(self.cases, erase, 0), "served", work=f"rare-{name}")
            (row,) = (row for row in result.decision.per_label if row.label == name)
            yield f"{name} {row.difference:+.3f}: {row.verdict}", result, False

    def _over_served(self, name: str, change: Wrong, **options: Any) -> Iterator[tuple[str, TrainResult, bool | None]]:
        for seed in range(self.trainings):
            wrong = not_held_out(self.cases, change, seed)
            yield f"seed {seed}", self.train(wrong, "served", work=f"{name}{seed}", seed=seed, **options), False

    def train(self, cases: list[Case], home: str, *, work: str = "work", **options: Any) -> TrainResult:
        """Train in a home of its own; the one called `served` has a good model first."""
        models = ModelStore(self.folder / home)
        splits = FileSplitStore(models.root)
        if not splits.get(SPEC.name):
            splits.put(SPEC.name, PARTS)
        if home == "served" and models.served(SPEC.name) is None:
            good = self._train(self.cases, models, self.folder / "good", {})
            if not good.promoted:
                raise SystemExit(f"the honest training was not promoted: {good.decision.reason}")
        return self._train(cases, models, self.folder / home / work, options)

    def _train(self, cases: list[Case], models: ModelStore, work: Path, options: dict[str, Any]) -> TrainResult:
        return train(
            cases,
            spec=SPEC,
            models=models,
            splits=FileSplitStore(models.root),
            predict=predict,
            work_dir=work,
            options=dataclasses.replace(SPEC.trainer, **options),
            device="auto",
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=10, help="of each kind")
    parser.add_argument("--only", nargs="+", default=[], help="kinds")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    print(f"device {device}; Python {platform.python_version()}; torch {version('torch')}; seeds from {SEED}")
    began = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for row in Bench(Path(name), arguments.trainings).rows(arguments.only):
            rows.append(row)
            word = "promoted" if row["promoted"] else "kept back"
            print(f"{row['kind']:9} {row['what']:34} {word:10} {row['reason'][:150]}", flush=True)
    wrong = [row for row in rows if not row["as_it_must"]]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        mine = [row for row in rows if row["kind"] == kind]
        print(f"{kind:9} {len(mine)} trainings, {sum(row['promoted'] for row in mine)} promoted")
    print(f"{len(wrong)} decisions are not as they must be; {time.monotonic() - began:.0f} s")
    if arguments.json:
        print(json.dumps({"device": device, "rows": rows}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
