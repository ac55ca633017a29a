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
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_warm_start import patient, small_task
from scipy import stats

from carina.infers.sliding_window import predict
from carina.models.metrics import mean_of_defined
from carina.networks.factory import build_network
from carina.task import TaskSpec
from carina.trainers.cache import CachedVolume, VolumeCache
from carina.trainers.cases import without_label
from carina.trainers.rehearsal import rehearse
from carina.trainers.segmentation import SegmentationLesson

HELD_OUT = 8


def one_training(
    parts: dict[str, list[CachedVolume]], spec: TaskSpec, *, weight: float, steps: int, seed: int
) -> tuple[float, float]:
    """Mean Dice of the unseen patients, and seconds of CPU time."""
    options = dataclasses.replace(spec.trainer, seed=seed, unlabelled_weight=weight)
    lesson = SegmentationLesson(
        spec=spec, options=options, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )
    torch.manual_seed(seed)
    network = build_network(spec)
    started = time.process_time()
    rehearse(network, parts["few"], lesson=lesson, steps=steps, pool=parts["pool"] if weight else ())
    seconds = time.process_time() - started
    return mean_of_defined(list(lesson.dice(network, parts["unseen"]).values())), seconds


def one_seed(seed: int, spec: TaskSpec, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Both trainings."""
    first = 1000 * seed
    counts = {"few": arguments.labelled, "pool": arguments.pool, "unseen": HELD_OUT}
    numbers = iter(range(first, first + sum(counts.values())))
    cases = {
        part: [patient(next(numbers), spec, other_scanner=False) for _ in range(count)]
        for part, count in counts.items()
    }
    cases["pool"] = [
        without_label(image_id=case.image_id, patient_id=case.patient_id, revision="1", load=lambda c=case: c.load()[0])
        for case in cases["pool"]
    ]
    with tempfile.TemporaryDirectory() as folder:
        cache = VolumeCache(Path(folder), spec)
        parts = {part: [cache.get(case) for case in some] for part, some in cases.items()}
        found = {
            way: one_training(parts, spec, weight=weight, steps=arguments.steps, seed=seed)
            for way, weight in (("few", 0.0), ("pool", arguments.weight))
        }
    print(
        f"seed {seed} " + ", ".join(f"{way} {dice:.3f} ({cpu:.0f} s)" for way, (dice, cpu) in found.items()), flush=True
    )
    return found


def student(gain: np.ndarray) -> tuple[float, float, float]:
    """Mean of some differences and its 95 % interval by Student's t; not a number for one."""
    mean = float(gain.mean())
    half = float(stats.sem(gain) * stats.t.ppf(0.975, len(gain) - 1)) if len(gain) > 1 else float("nan")
    return mean, mean - half, mean + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=int, default=4)
    parser.add_argument("--pool", type=int, default=20, help="patients without labels")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--weight", type=float, default=1.0, help="unlabelled_weight")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}; torch {version('torch')}; {os.cpu_count()} cores; seeds from 0")
    spec = small_task()
    rows = [one_seed(seed, spec, arguments) for seed in range(arguments.seeds)]
    dice: dict[str, Any] = {way: np.array([row[way][0] for row in rows]) for way in rows[0]}
    gain = dice["pool"] - dice["few"]
    mean, low, high = student(gain)
    print(", ".join(f"{way} {values.mean():.3f}" for way, values in dice.items()))
    print(f"the pool gives {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    if arguments.json:
        print(json.dumps({"rows": rows, "gain": [mean, low, high]}))


if __name__ == "__main__":
    main()
