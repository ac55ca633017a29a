"""Dice of `cxr_anatomy` on the radiographs of the test data, on their own grids: folds by patient.

Nothing is tuned on the fold that is measured: a tenth of the other patients chooses the epoch. A structure that a
radiograph has no mask of is not measured in it. A fold that is done is kept in `--out` and not trained again, and one
that was interrupted goes on where it stood.

The peer (`--peer`) is MONAI's plain U-Net on the same 160×160 pixels: AdamW, DiceCE, affine and intensity augmentation,
for as much CPU time as carina's training of that fold took, on all other patients.

    CARINA_TEST_DATA=data python benchmarks/bench_anatomy.py --out anatomy/ [--folds 5] [--only 0] [--peer] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from plain_unet import train_plainly
from radiographs import SEED, Parts, environment, folds_of, radiographs, train_fold
from scipy.stats import spearmanr

from carina.infers.segmentation import segment
from carina.models.label_quality import agreements
from carina.models.loading import load_into
from carina.models.metrics import mean_of_defined
from carina.models.plausibility import Plausibility, plausibility_of
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.sizes import size_unit
from carina.structures import ALIASES
from carina.task import TaskSpec
from carina.trainers.cases import Case
from carina.trainers.dataset import read_case_folder

SPEC = find_tasks().get("cxr_anatomy")
PLAIN = dataclasses.replace(SPEC, symmetric=False, smallest_piece=0.0, fill_holes=False)
VALIDATION = 10
"""One in so many of the other patients."""


def labelled() -> list[Case]:
    """All radiographs, each annotated for the structures that it has a mask of."""
    found = radiographs(having=())
    named = {one.image_id: {ALIASES.get(name, name) for name, has in one.row.items() if has == "1"} for one in found}
    folder = found[0].folder
    return [
        dataclasses.replace(case, annotated=frozenset(named[case.image_id] & set(SPEC.labels.names)))
        for case in read_case_folder(folder / "images", folder, SPEC)
    ]


def parts_of(folds: list[list[str]], held_out: int) -> Parts:
    """One fold held out; one in ten of the other patients for the choice of the epoch."""
    others = [patient for number, fold in enumerate(folds) if number != held_out for patient in fold]
    parts: Parts = dict.fromkeys(others, "train")
    parts |= dict.fromkeys(others[::VALIDATION], "validation")
    return parts | dict.fromkeys(folds[held_out], "holdout")


def measured(
    network: torch.nn.Module, cases: Sequence[Case], spec: TaskSpec, usual: Plausibility | None = None
) -> dict[str, Any]:
    """Dice per structure and image, and images in which a side overlaps the other side's label more than its own."""
    rows: dict[str, dict[str, float]] = {}
    exchanged, plausible = [], {}
    for case in cases:
        image, truth = case.load()
        drawn = segment(image, spec=spec, network=network, device="cpu")
        unit = size_unit(truth.grid, projection=True, pixel_size_known=False)
        found = agreements(truth, drawn, labels=spec.labels, annotated=case.annotated, unit=unit)
        rows[case.image_id] = {name: row.dice for name, row in found.items()}
        if usual is not None:
            plausible[case.image_id] = usual.judge(drawn, spec.labels).score
        if any(row.exchanged_size > row.both_size for row in found.values()):
            exchanged.append(case.image_id)
    return {"dice": rows, "exchanged": exchanged, "plausibility": plausible}


def run_fold(cases: Sequence[Case], folds: list[list[str]], number: int, *, folder: Path, peer: bool) -> dict[str, Any]:
    """What one fold gave; what an earlier run left of it is not done again."""
    done = folder / "fold.json"
    result: dict[str, Any] = json.loads(done.read_text()) if done.is_file() else {}
    parts = parts_of(folds, number)
    held_out = [case for case in cases if parts[case.patient_id] == "holdout"]
    if "carina" not in result:
        wall, cpu = time.monotonic(), time.process_time()
        trained = train_fold(cases, parts, spec=SPEC, folder=folder, options=SPEC.trainer)
        seconds = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}
        network = build_network(SPEC)
        load_into(network, trained.version, spec=SPEC)
        told = measured(network, held_out, SPEC, plausibility_of(trained.version))
        result["carina"] = seconds | {"epochs": len(trained.history)} | told
        done.write_text(json.dumps(result))
    if peer and "peer" not in result:
        others = [case for case in cases if parts[case.patient_id] != "holdout"]
        network, steps = train_plainly(others, PLAIN, cpu_s=result["carina"]["cpu_s"], folder=folder, seed=SEED)
        result["peer"] = {"steps": steps} | measured(network, held_out, PLAIN)
        done.write_text(json.dumps(result))
    return result


def summary(results: Sequence[dict[str, Any]], who: str) -> dict[str, Any]:
    """Means over the images of all folds that were measured."""
    rows = [row for result in results for row in result[who]["dice"].values()]
    exchanged = [image for result in results for image in result[who]["exchanged"]]
    dice = {name: mean_of_defined([row.get(name, math.nan) for row in rows]) for name in SPEC.labels.names}
    content = {"images": len(rows), "dice": dice, "exchanged": len(exchanged)}
    plausible = [value for result in results for value in result[who]["plausibility"].values()]
    if plausible:  # of the drafts alone, without the truth: does it tell which of them are bad?
        means = [mean_of_defined(list(row.values())) for row in rows]
        content["plausibility_and_mean_dice_spearman"] = float(spearmanr(plausible, means).statistic)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, action="append", help="this fold; may be given again")
    parser.add_argument("--peer", action="store_true", help="also train a plain U-Net for as much CPU time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cases = labelled()
    folds = folds_of({case.patient_id: True for case in cases}, count=arguments.folds)
    report: dict[str, Any] = {**environment(), "images": len(cases), "folds": arguments.folds}
    results = []
    for number in arguments.only or range(arguments.folds):
        folder = arguments.out / f"{arguments.folds}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        results.append(run_fold(cases, folds, number, folder=folder, peer=arguments.peer))
        for who in ("carina", *(("peer",) if arguments.peer else ())):
            report[who] = summary(results, who)
            told = ", ".join(f"{name} {value:.3f}" for name, value in summary(results[-1:], who)["dice"].items())
            if not arguments.json:
                seconds = results[-1]["carina"]["cpu_s"]
                print(f"fold {number}, {who}: {told}; {seconds:.0f} s of CPU", flush=True)
    print(json.dumps(report) if arguments.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
