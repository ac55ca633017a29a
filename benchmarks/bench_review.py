"""Spoils one label in ten and asks `carina review` which ones; prints how often a wrong label ranks above a right one.

    python benchmarks/bench_review.py [--patients 60] [--spoilings 3] [--steps 100] [--folds 3] [--quick] [--json]

Every spoiling takes other patients and other faults, in turn: shifted by 14–21 mm along one axis, one structure missing
(not a nodule, which so short a training does not find), left and right lung exchanged. Networks learn from the wrong
labels too, as they would in a hospital. The peers rank the same drawings by what one would look at first: the mean Dice
of a case; and, without any network, how unusual the volume of one of its structures is. `auroc_networks` is that of the
networks' word alone, without what is odd about a label beside the other labels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata
from small_phantoms import say_environment

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.models.label_quality import Comparison, not_learned, rank_labels
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks
from carina.task import TaskSpec, Voxels
from carina.trainers.cases import Case
from carina.trainers.reviewing import compare_out_of_sample

SHAPE: Voxels = (48, 48, 40)
SPACING_MM = (7.0, 7.0, 6.5)
SHIFTS = (2, 3)
Fault = tuple[np.ndarray, str]
Compared = Mapping[str, Comparison]


def small(spec: TaskSpec, shape: Voxels) -> TaskSpec:
    """The task on whole phantoms, as they are."""
    trainer = dataclasses.replace(spec.trainer, patch_voxels=shape)
    return dataclasses.replace(
        spec, spacing_mm=None, body_threshold=None, matrix_voxels=shape, roi_voxels=shape, trainer=trainer
    )


def patients(spec: TaskSpec, count: int) -> list[Case]:
    """One oblique phantom each."""
    cases = []
    for number in range(count):
        made = make_chest(number, shape=SHAPE, spacing_mm=SPACING_MM, oblique_deg=(6.0, -4.0, 9.0))
        table = np.zeros(max(made.structures.values()) + 1, dtype=np.uint8)
        for value, index in spec.labels.remap(made.structures).items():
            table[value] = index
        pair = made.image, Volume(table[made.label.array], made.label.grid)
        name = f"phantom-{number:03d}"
        cases.append(Case(image_id=name, patient_id=name, load=lambda pair=pair: pair, revision="true"))
    return cases


def shifted(label: np.ndarray, spec: TaskSpec, random: np.random.Generator) -> Fault:
    axis, by = int(random.integers(3)), int(random.choice(SHIFTS)) * int(random.choice((-1, 1)))
    return np.roll(label, by, axis), f"shifted by {by} voxels along axis {axis}"


def without_one(label: np.ndarray, spec: TaskSpec, random: np.random.Generator) -> Fault:
    there = [one for one in spec.labels if one.name != "nodule" and (label == one.index).any()]
    lost = there[int(random.integers(len(there)))]
    return np.where(label == lost.index, 0, label), f"without {lost.name}"


def exchanged(label: np.ndarray, spec: TaskSpec, random: np.random.Generator) -> Fault:
    table = np.arange(len(spec.labels) + 1)
    left, right = (spec.labels.named(name).index for name in ("lung_left", "lung_right"))
    table[[left, right]] = right, left
    return table[label], "left and right exchanged"


FAULTS: tuple[Callable[[np.ndarray, TaskSpec, np.random.Generator], Fault], ...] = (shifted, without_one, exchanged)


def spoil(cases: list[Case], spec: TaskSpec, seed: int) -> tuple[list[Case], dict[str, str]]:
    """One case in ten with a wrong label; and image id → what is wrong."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(cases))[: max(len(FAULTS), len(cases) // 10)]
    changed, wrong = list(cases), {}
    for position, number in enumerate(chosen.tolist()):
        image, label = cases[number].load()
        array, what = FAULTS[position % len(FAULTS)](label.array, spec, random)
        pair = image, Volume(array.astype(np.uint8), label.grid)
        changed[number] = dataclasses.replace(cases[number], load=lambda pair=pair: pair, revision=f"wrong-{seed}")
        wrong[cases[number].image_id] = what
    return changed, wrong


def auroc(scores: Mapping[str, float], wrong: Mapping[str, str]) -> float:
    """How often a wrong label has a higher score than a right one; ties count half."""
    ranks = rankdata(list(scores.values()))
    positive = np.array([name in wrong for name in scores])
    count, others = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def by_mean_dice(found: Compared) -> dict[str, float]:
    return {name: 1 - float(np.mean([row.dice for row in case.agreements.values()])) for name, case in found.items()}


def by_networks(found: Compared) -> dict[str, float]:
    alone = {name: dataclasses.replace(case, oddities=()) for name, case in found.items()}
    return {one.image_id: one.score for one in rank_labels(alone)}


def by_volume(compared: Compared) -> dict[str, float]:
    """The largest robust deviation of a structure's labelled volume from that of the others."""
    found = {name: case.agreements for name, case in compared.items()}
    names = sorted({name for rows in found.values() for name in rows})
    volumes = np.array([[rows[name].label_ml if name in rows else 0.0 for name in names] for rows in found.values()])
    away = np.abs(volumes - np.median(volumes, axis=0))
    return dict(zip(found, (away / np.median(away, axis=0).clip(1e-6)).max(axis=1).tolist(), strict=True))


def one_spoiling(cases: list[Case], spec: TaskSpec, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Spoil, review, measure."""
    changed, wrong = spoil(cases, spec, seed)
    began = time.monotonic()
    found = compare_out_of_sample(
        changed, spec=spec, predict=predict, folds=arguments.folds, steps=arguments.steps, device=arguments.device
    )
    ranked = rank_labels(found)
    suspects = {one.image_id for one in ranked if one.suspect}
    for one in ranked:
        if one.suspect or one.image_id in wrong:
            print(
                f"  {one.image_id} {one.score:.2f} [{wrong.get(one.image_id, 'right')}] {'; '.join(one.reasons)}",
                flush=True,
            )
    if missed := not_learned(found):
        print(f"  not learned: {', '.join(missed)}", flush=True)
    return {
        "seed": seed,
        "wrong": len(wrong),
        "found": len(suspects & set(wrong)),
        "false_alarms": len(suspects - set(wrong)),
        "auroc": auroc({one.image_id: one.score for one in ranked}, wrong),
        "auroc_networks": auroc(by_networks(found), wrong),
        "auroc_mean_dice": auroc(by_mean_dice(found), wrong),
        "auroc_volume": auroc(by_volume(found), wrong),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """Fails if the mean AUROC is below 0.9."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--spoilings", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="30 patients, one spoiling")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.patients, arguments.spoilings = 30, 1
    spec = small(find_tasks().get("thorax_ct"), SHAPE)
    say_environment()
    cases = patients(spec, arguments.patients)
    rows = [one_spoiling(cases, spec, seed, arguments) for seed in range(arguments.spoilings)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key.startswith("auroc")}
    total = {key: sum(row[key] for row in rows) for key in ("wrong", "found", "false_alarms", "seconds")}
    for row in rows:
        print(", ".join(f"{key} {value:.3f}" if "auroc" in key else f"{key} {value}" for key, value in row.items()))
    print(
        f"AUROC {mean['auroc']:.3f}; by networks alone {mean['auroc_networks']:.3f}, "
        f"by mean Dice {mean['auroc_mean_dice']:.3f}, by volume {mean['auroc_volume']:.3f}; "
        f"{total['found']} of {total['wrong']} wrong labels called suspect, and {total['false_alarms']} right ones of "
        f"{arguments.patients * arguments.spoilings - total['wrong']}; {total['seconds']:.0f} s"
    )
    if arguments.json:
        print(json.dumps({"rows": rows, **mean, **total}))
    return 0 if mean["auroc"] >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
