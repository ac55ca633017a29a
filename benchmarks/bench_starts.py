"""Whether a short trial of both starts (`start_from=auto`) goes on with the one that is better in the end.

    python benchmarks/bench_starts.py [--seeds 2] [--only good …] [--json]

Phantoms and options as in `bench_warm_start.py`: 40 labels, then 8 more. The version served has learned the 40, as
they are or spoiled in a way that was corrected meanwhile. From it and from random weights a training learns all 48 to
the end; a trial is the beginning of these two (`trainers.starting`), so what it would have chosen is read from them.

    good         the version learned the right labels
    few          it learned two of them
    exchanged    left and right lung were exchanged in all of them
    strangers    each image had the label of another patient
    trial        epochs of each trial → what it chooses
    validation   best of both trainings in the end
    holdout      mean Dice from the version minus that from random weights, with its 95 % interval over patients
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench_warm_start import Bench
from small_phantoms import rows_of_seeds

from carina.geometry import Volume
from carina.label_maps import exchange_sides
from carina.models.store import ModelStore
from carina.trainers.cases import Case
from carina.trainers.starting import better
from carina.trainers.training import TrainResult
from carina.trainers.warm_start import NOTHING, SERVED

SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)


def exchanged(bench: Bench) -> list[Case]:
    """Left and right the other way round."""

    def spoiled(case: Case) -> Case:
        image, label = case.load()
        pair = image, Volume(exchange_sides(label.array, bench.spec.labels), label.grid)
        return dataclasses.replace(case, load=lambda: pair, revision="exchanged")

    return [spoiled(case) for case in bench.old]


def strangers(bench: Bench) -> list[Case]:
    """Everybody has the label of the next patient, turned around."""

    def spoiled(case: Case, other: Case) -> Case:
        image, label = case.load()
        pair = image, Volume(other.load()[1].array[::-1, ::-1, ::-1].copy(), label.grid)
        return dataclasses.replace(case, load=lambda: pair, revision="stranger")

    return [spoiled(case, other) for case, other in zip(bench.old, bench.old[1:] + bench.old[:1], strict=True)]


PARENTS: Mapping[str, Callable[[Bench], list[Case]]] = {
    "good": lambda bench: bench.old,
    "few": lambda bench: [case for case in bench.old if bench.parts[case.patient_id] == "train"][:2],
    "exchanged": exchanged,
    "strangers": strangers,
}


def row(bench: Bench, name: str, warm: TrainResult, scratch: TrainResult) -> dict[str, Any]:
    """What trials of several lengths would have chosen, and what was better."""
    epochs = bench.spec.trainer.max_epochs
    trial = {}
    for share in SHARES:
        count = math.ceil(share * epochs)
        history = {"version": warm.history[:count], NOTHING: scratch.history[:count]}
        trial[count] = better("version", history, metric="Dice", epochs=count).chosen
    decision = bench.compared(warm, scratch)
    found = {
        "seed": bench.seed,
        "version": name,
        "trial": trial,
        "validation": {
            start: round(max(epoch.dice or 0.0 for epoch in one.history), 4)
            for start, one in (("version", warm), (NOTHING, scratch))
        },
        "holdout": decision.mean_difference,
        "interval": decision.interval,
        "curves": [[round(epoch.dice or 0.0, 3) for epoch in one.history] for one in (warm, scratch)],
    }
    print(json.dumps(found), flush=True)
    return found


def one_seed(folder: Path, seed: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every kind of version, against the same training from random weights."""
    bench = Bench(folder, seed, argparse.Namespace(other_scanner=False))
    cases = bench.old + bench.new
    scratch = bench.train(cases, "scratch", start_from=NOTHING)
    found = []
    for name in arguments.only or PARENTS:
        served = bench.train(PARENTS[name](bench), name, start_from=NOTHING)
        ModelStore(folder / name).promote(bench.spec.name, served.version.version, reason="benchmark")
        found.append(row(bench, name, bench.train(cases, name, start_from=SERVED), scratch))
    return found


def main() -> int:
    """Print every comparison as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[], choices=list(PARENTS))
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    rows = rows_of_seeds(arguments.seeds, lambda folder, seed: one_seed(folder, seed, arguments))
    if arguments.json:
        print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
