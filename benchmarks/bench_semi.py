"""A few patients have labels and many have none: what do those without teach?

    python benchmarks/bench_semi.py [--labelled 4] [--pool 20] [--steps 240] [--weight 1] [--seeds 10] [--json]

    few     the labelled patients alone
    pool    and the others without labels, through the mean teacher (unlabelled_weight)

Networks are those of thorax_ct on phantoms at a small matrix, from the same random weights and for as many steps; the
Dice is that of patients no network learned from. The interval of the difference is Student's, over the seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from small_phantoms import dice_after, groups_of_patients, say_environment, small_task, student, unlabelled

from carina.models.metrics import mean_of_defined
from carina.task import TaskSpec
from carina.trainers.cache import CachedVolume, VolumeCache

HELD_OUT = 8


def one_training(
    parts: Mapping[str, Sequence[CachedVolume]], spec: TaskSpec, *, weight: float, steps: int, seed: int
) -> tuple[float, float]:
    """Mean Dice of the unseen patients, and seconds of CPU time."""
    options = dataclasses.replace(spec.trainer, seed=seed, unlabelled_weight=weight)
    started = time.process_time()
    dice = dice_after(
        parts["few"],
        parts["unseen"],
        dataclasses.replace(spec, trainer=options),
        steps=steps,
        pool=parts["pool"] if weight else (),
    )
    return mean_of_defined(list(dice.values())), time.process_time() - started


def one_seed(seed: int, spec: TaskSpec, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Both trainings."""
    counts = {"few": arguments.labelled, "pool": arguments.pool, "unseen": HELD_OUT}
    cases = groups_of_patients(counts, spec, seed=seed)
    cases["pool"] = unlabelled(cases["pool"])
    with tempfile.TemporaryDirectory() as folder:
        cache = VolumeCache(Path(folder), spec)
        parts = {part: [cache.get(case) for case in some] for part, some in cases.items()}
        found = {
            way: one_training(parts, spec, weight=weight, steps=arguments.steps, seed=seed)
            for way, weight in (("few", 0.0), ("pool", arguments.weight))
        }
    return shown(seed, found)


def shown(seed: int, found: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The same, once a person has seen it."""
    words = ", ".join(f"{way} {dice:.3f} ({cpu:.0f} s)" for way, (dice, cpu) in found.items())
    print(f"seed {seed} {words}", flush=True)
    return found


def report(rows: list[dict[str, tuple[float, float]]], *, ways: tuple[str, str], what: str, as_json: bool) -> None:
    """What the second way gives beside the first."""
    dice: dict[str, Any] = {way: np.array([row[way][0] for row in rows]) for way in ways}
    mean, low, high = student(dice[ways[1]] - dice[ways[0]])
    print(", ".join(f"{way} {values.mean():.3f}" for way, values in dice.items()))
    print(f"{what} gives {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    if as_json:
        print(json.dumps({"rows": rows, "gain": [mean, low, high]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=int, default=4)
    parser.add_argument("--pool", type=int, default=20, help="patients without labels")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--weight", type=float, default=1.0, help="unlabelled_weight")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    say_environment()
    spec = small_task()
    rows = [one_seed(seed, spec, arguments) for seed in range(arguments.seeds)]
    report(rows, ways=("few", "pool"), what="the pool", as_json=arguments.json)


if __name__ == "__main__":
    main()
