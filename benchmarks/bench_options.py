"""Is a trainer option worth anything, the rest being equal?

    python benchmarks/bench_options.py [--set sharpness=0.05] [--labelled 12] [--steps 240] [--seeds 10] [--json]

Trains with and without the options on the same labelled phantoms, from the same random weights and in the same patches,
with the network of thorax_ct at a small matrix; the Dice is that of patients no network learned from. The interval of
the difference is Student's, over the seeds. Options of a training from an earlier version change nothing here.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from bench_semi import HELD_OUT, one_training, report, shown
from small_phantoms import groups_of_patients, say_environment, small_task

from carina.trainers.cache import VolumeCache
from carina.trainers.options import override


def one_seed(seed: int, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Mean Dice and seconds of CPU time of both trainings."""
    plain = small_task()
    wanted = dict(pair.split("=", 1) for pair in arguments.set)
    other = dataclasses.replace(plain, trainer=override(plain.trainer, wanted))
    cases = groups_of_patients({"few": arguments.labelled, "unseen": HELD_OUT}, plain, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        cache = VolumeCache(Path(folder), plain)
        parts = {part: [cache.get(case) for case in some] for part, some in cases.items()}
        found = {
            way: one_training(parts, spec, weight=0.0, steps=arguments.steps, seed=seed)
            for way, spec in (("without", plain), ("with", other))
        }
    return shown(seed, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", default=["sharpness=0.05"], metavar="NAME=VALUE")
    parser.add_argument("--labelled", type=int, default=12)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    say_environment()
    rows = [one_seed(seed, arguments) for seed in range(arguments.seeds)]
    report(rows, ways=("without", "with"), what=" ".join(arguments.set), as_json=arguments.json)


if __name__ == "__main__":
    main()
