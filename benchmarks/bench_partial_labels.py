"""Every training patient has labels of only some structures: how much is lost against all, and against not caring.

    python benchmarks/bench_partial_labels.py [--patients 24] [--structures 2] [--steps 240] [--seeds 2] [--json]

    all       every structure of every patient
    partial   of each patient some structures by chance, and the training knows which
    ignored   the same label maps, taken as if nothing else were there

Networks are those of thorax_ct on phantoms at a small matrix; the Dice is that of patients with all labels that no
network learned from.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from small_phantoms import dice_after, groups_of_patients, say_environment, small_task

from carina.geometry import Volume
from carina.models.metrics import mean_of_defined
from carina.task import TaskSpec
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import Case

HELD_OUT = 8


def with_some(case: Case, spec: TaskSpec, names: list[str]) -> Case:
    """The case with the labels of these structures alone."""
    kept = [spec.labels.indices[name] for name in names]

    def load() -> tuple[Volume, Volume]:
        image, label = case.load()
        return image, Volume(np.where(np.isin(label.array, kept), label.array, 0), label.grid)

    return dataclasses.replace(case, load=load, annotated=frozenset(names), revision="-".join(names))


def dice_of(cases: list[Case], unseen: list[Case], spec: TaskSpec, *, steps: int) -> dict[str, float]:
    """Train from random weights, and measure on patients nobody learned from."""
    with tempfile.TemporaryDirectory() as folder:
        cache = VolumeCache(Path(folder), spec)
        return dice_after([cache.get(case) for case in cases], [cache.get(case) for case in unseen], spec, steps=steps)


def one_seed(seed: int, spec: TaskSpec, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The three trainings."""
    random = np.random.default_rng(seed)
    spec = dataclasses.replace(spec, trainer=dataclasses.replace(spec.trainer, seed=seed))
    training, unseen = groups_of_patients(
        {"training": arguments.patients, "unseen": HELD_OUT}, spec, seed=seed
    ).values()
    drawn = [random.choice(spec.labels.names, arguments.structures, replace=False).tolist() for _ in training]
    partial = [with_some(case, spec, names) for case, names in zip(training, drawn, strict=True)]
    ways = {
        "all": training,
        "partial": partial,
        "ignored": [dataclasses.replace(case, annotated=None) for case in partial],
    }
    found = {}
    for way, cases in ways.items():
        found[way] = dice_of(cases, unseen, spec, steps=arguments.steps)
        print(f"seed {seed} {way:8} {mean_of_defined(list(found[way].values())):.3f} {found[way]}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--structures", type=int, default=2, help="annotated in each patient, of six")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    say_environment()
    spec = small_task()
    rows = [one_seed(seed, spec, arguments) for seed in range(arguments.seeds)]
    means: dict[str, Any] = {
        way: float(np.mean([mean_of_defined(list(row[way].values())) for row in rows])) for way in rows[0]
    }
    print(", ".join(f"{way} {mean:.3f}" for way, mean in means.items()))
    if arguments.json:
        print(json.dumps({"means": means, "rows": rows}))


if __name__ == "__main__":
    main()
