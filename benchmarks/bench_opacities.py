"""Whether a classification finds opacities of known size that were blended into real lungs, and looks at them.

Every radiograph of the test data is shown as it is, and several times with one soft, round opacity somewhere in its
lungs; the patients of one fold are held out. Reported over them: AUROC with its interval, all and per diameter, and how
often the heat map's maximum lies within the opacity. Most of these lungs have real opacities in either case, which
makes the blended one hard to learn: the loss hardly moves for the first thousand steps.

    CARINA_TEST_DATA=data python benchmarks/bench_opacities.py --out opacities/ [--quick] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from radiographs import Radiograph, environment, folds_of, next_fold_chooses, radiographs, train_fold
from scipy import ndimage

from carina.findings import finding_set
from carina.geometry import Volume
from carina.infers.heat_map import heat_map
from carina.models.loading import load_into
from carina.models.ranking import auroc, ranking_interval
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from carina.registry import find_tasks
from carina.task import NetworkSpec
from carina.trainers.cases import FindingsCase

FINDING = "lung_opacity"
DIAMETERS = (0.12, 0.17, 0.24)
"""Of the image's longer side."""
RISE = 0.75
"""How far the middle of an opacity lies towards the image's white."""
FOLDS = 4
QUICK_EPOCHS = 4
PLACES = 4
"""Per image and diameter; a network that sees few learns them by heart."""
SIDE = 128
OPTIONS: dict[str, Any] = {"steps_per_epoch": 100, "batch_size": 16, "learning_rate": 3e-3}
SPEC = dataclasses.replace(
    find_tasks().get("cxr_covid19"),
    name="bench_opacity",
    labels=finding_set(FINDING),
    matrix_voxels=(SIDE, SIDE, 1),
    network=NetworkSpec(name="local_cnn", arguments={"filters": (16, 32, 64)}),
)


@cache
def depth_of(radiograph: Radiograph) -> np.ndarray:
    """`(X, Y)` how far each pixel lies within the lungs."""
    return ndimage.distance_transform_edt(radiograph.lungs()[:, :, 0])


def opacity_of(radiograph: Radiograph, variant: int) -> tuple[np.ndarray, np.ndarray]:
    """The weight of an opacity, 0–1, and where it is more than a tenth; the same at every call."""
    lungs = radiograph.lungs()[:, :, 0]
    random = np.random.default_rng(zlib.crc32(f"{radiograph.image_id}/{variant}".encode()))
    radius = DIAMETERS[variant % len(DIAMETERS)] * max(lungs.shape) / 2
    inner = depth_of(radiograph)
    places = np.argwhere(inner >= min(0.6 * radius, 0.9 * inner.max()))
    x, y = places[random.integers(len(places))]
    grid_x, grid_y = np.ogrid[: lungs.shape[0], : lungs.shape[1]]
    distance = np.hypot(grid_x - x, grid_y - y) / radius
    weight = np.clip(1 - distance**2, 0, 1)[..., None]
    return weight, weight > 0.1


def case_of(radiograph: Radiograph, variant: int | None) -> FindingsCase:
    """The image as it is, or with an opacity."""

    def load() -> Volume:
        image = radiograph.image()
        if variant is None:
            return image
        white = float(np.percentile(image.array, 99))
        weight = RISE * opacity_of(radiograph, variant)[0]
        array = image.array + weight * np.maximum(white - image.array, 0)
        return Volume(array.astype(np.float32), image.grid)

    return FindingsCase(
        image_id=f"{radiograph.image_id}-{'plain' if variant is None else variant}",
        patient_id=radiograph.patient,
        load=load,
        findings={FINDING: variant is not None},
        revision=f"{DIAMETERS} {RISE}",
    )


def peaks_inside(network: torch.nn.Module, shown: list[Radiograph]) -> list[tuple[int, bool]]:
    """Per opacity its diameter's position, and whether the heat's maximum lies within it."""
    found = []
    for radiograph in shown:
        for variant in range(PLACES * len(DIAMETERS)):
            prepared = prepare(case_of(radiograph, variant).load(), SPEC)
            heat = heat_map(network, prepared, spec=SPEC, finding=FINDING, device=torch.device("cpu"))
            peak = np.unravel_index(heat.array.argmax(), heat.array.shape)
            found.append((variant % len(DIAMETERS), bool(opacity_of(radiograph, variant)[1][peak])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EPOCHS} epochs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    epochs = QUICK_EPOCHS if arguments.quick else arguments.epochs
    found = radiographs()
    folds = folds_of({one.patient: True for one in found}, count=FOLDS)
    variants = [None, *range(PLACES * len(DIAMETERS))]
    folder = arguments.out / f"{epochs}"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    options = dataclasses.replace(SPEC.trainer, **OPTIONS, max_epochs=epochs, patience_epochs=epochs)
    cases = [case_of(one, variant) for one in found for variant in variants]
    result = train_fold(cases, next_fold_chooses(folds, 0), spec=SPEC, folder=folder, options=options)
    measured = result.evaluation.cases
    probabilities = np.array([case.probabilities[FINDING] for case in measured])
    truths = np.array([case.truths[FINDING] for case in measured], bool)
    kinds = [case.image_id.rpartition("-")[2] for case in measured]
    network = build_network(SPEC)
    load_into(network, result.version, spec=SPEC)
    inside = peaks_inside(network.eval(), [one for one in found if one.patient in folds[0]])
    per_diameter = {}
    for variant, diameter in enumerate(DIAMETERS):
        chosen = np.array([kind == "plain" or int(kind) % len(DIAMETERS) == variant for kind in kinds])
        per_diameter[f"{diameter:g}"] = {
            "auroc": auroc(probabilities[chosen], truths[chosen]),
            "peak_inside": float(np.mean([hit for number, hit in inside if number == variant])),
        }
    report: dict[str, Any] = {
        **environment(),
        "held_out": {"patients": len(folds[0]), "images": len(measured)},
        "epochs": len(result.history),
        "auroc": ranking_interval(
            auroc, probabilities, truths, patients=[case.patient_id for case in measured]
        ).to_json(),
        "peak_inside": float(np.mean([hit for _, hit in inside])),
        "per_diameter": per_diameter,
        "seconds": time.monotonic() - started,
    }
    if not arguments.json:
        print(
            f"AUROC {report['auroc']['mean']:.3f} ({report['auroc']['low']:.3f}–{report['auroc']['high']:.3f}), "
            f"peak inside in {report['peak_inside']:.0%} of {len(inside)} opacities"
        )
    print(json.dumps(report) if arguments.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
