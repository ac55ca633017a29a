"""Is a trainer option worth anything, the rest being equal?

    python benchmarks/bench_options.py [--set sharpness=0.05] [--labelled 12] [--steps 240] [--seeds 10] [--json]

Trains with and without the options on the same labelled phantoms, from the same random weights and in the same patches,
with the network of thorax_ct at a small matrix; the Dice is that of patients no network learned from. The interval of
the difference is Student's, over the seeds. Options of a training from an earlier version change nothing here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_semi import HELD_OUT, one_training, student
from bench_warm_start import patient, small_task

from carina.trainers.cache import VolumeCache
from carina.trainers.options import override


def one_seed(seed: int, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Mean Dice and seconds of CPU time of both trainings."""
    plain = small_task()
    wanted = dict(pair.split("=", 1) for pair in arguments.set)
    other = dataclasses.replace(plain, trainer=override(plain.trainer, wanted))
    numbers = range(1000 * seed, 1000 * seed + arguments.labelled + HELD_OUT)
    with tempfile.TemporaryDirectory() as folder:
        cache = VolumeCache(Path(folder), plain)
        volumes = [cache.get(patient(number, plain, other_scanner=False)) for number in numbers]
        parts = {"few": volumes[:-HELD_OUT], "pool": [], "unseen": volumes[-HELD_OUT:]}
        found = {
            way: one_training(parts, spec, weight=0.0, steps=arguments.steps, seed=seed)
            for way, spec in (("without", plain), ("with", other))
        }
    print(
        f"seed {seed} " + ", ".join(f"{way} {dice:.3f} ({cpu:.0f} s)" for way, (dice, cpu) in found.items()), flush=True
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", default=["sharpness=0.05"], metavar="NAME=VALUE")
    parser.add_argument("--labelled", type=int, default=12)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}; torch {version('torch')}; {os.cpu_count()} cores; seeds from 0")
    rows = [one_seed(seed, arguments) for seed in range(arguments.seeds)]
    dice: dict[str, Any] = {way: np.array([row[way][0] for row in rows]) for way in rows[0]}
    gain = dice["with"] - dice["without"]
    mean, low, high = student(gain)
    print(", ".join(f"{way} {values.mean():.3f}" for way, values in dice.items()))
    print(f"{' '.join(arguments.set)} gives {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    if arguments.json:
        print(json.dumps({"rows": rows, "gain": [mean, low, high]}))


if __name__ == "__main__":
    main()
