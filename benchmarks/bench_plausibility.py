"""Whether wrong drawings look less plausible than right ones: the radiographs' own labels, spoiled in known ways.

Folds by patient: what is usual is learned from the labels of the other patients. A drawing is right as people drew it.
The peer is the rule that is often used in its place: the largest z-score of the structures' volumes.

    CARINA_TEST_DATA=data python benchmarks/bench_plausibility.py [--folds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bench_anatomy import SPEC, labelled
from radiographs import environment, folds_of

from carina.geometry import Volume
from carina.label_maps import exchange_sides, voxel_counts
from carina.models.plausibility import Plausibility
from carina.models.ranking import auroc
from carina.models.usual import ODD

LABELS = SPEC.labels
BIT = {name: np.uint8(value) for name, value in LABELS.values.items()}
Spoil = Callable[[np.ndarray], np.ndarray]


def without(array: np.ndarray, name: str) -> np.ndarray:
    """No voxels of a structure."""
    return array & ~BIT[name]


def shifted(array: np.ndarray, name: str, share: float) -> np.ndarray:
    """A structure further down, by a share of the image's height."""
    mask = np.roll((array & BIT[name]) > 0, int(share * array.shape[1]), axis=1)
    return without(array, name) | (mask * BIT[name])


def halved(array: np.ndarray, name: str) -> np.ndarray:
    """The part of a structure above its middle is missing."""
    rows = np.flatnonzero(((array & BIT[name]) > 0).any(axis=(0, 2)))
    above = np.arange(array.shape[1])[None, :, None] < rows.mean()
    return np.where(above, without(array, name), array)


def with_island(array: np.ndarray, name: str) -> np.ndarray:
    """A corner of the image, an eighth of both sides, belongs to a structure too."""
    array = array.copy()
    array[: array.shape[0] // 8, : array.shape[1] // 8] |= BIT[name]
    return array


SPOILED: Mapping[str, Spoil] = {
    "left and right exchanged": lambda array: exchange_sides(array, LABELS),
    "left lung missing": lambda array: without(array, "lung_left"),
    "airways missing": lambda array: without(array, "airways"),
    "upper half of the right lung missing": lambda array: halved(array, "lung_right"),
    "cardiomediastinum shifted by 15 %": lambda array: shifted(array, "cardiomediastinum", 0.15),
    "left lung shifted by 10 %": lambda array: shifted(array, "lung_left", 0.10),
    "left lung with an island": lambda array: with_island(array, "lung_left"),
}


def shares_of(label: Volume) -> np.ndarray:
    """`(structures,)` share of the image that each covers."""
    return np.array(list(voxel_counts(label.array, LABELS).values())) / label.array.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cases = [case for case in labelled() if case.annotated == set(LABELS.names)]
    maps = {case.image_id: case.load()[1] for case in cases}
    odd: dict[str, list[float]] = {name: [] for name in ("right", *SPOILED)}
    peer: dict[str, list[float]] = {name: [] for name in odd}
    for fold in folds_of({case.patient_id: True for case in cases}, count=arguments.folds):
        known = [maps[case.image_id] for case in cases if case.patient_id not in fold]
        usual = Plausibility.of(known, spec=SPEC, names=LABELS.names)
        assert usual is not None
        volumes = np.array([shares_of(label) for label in known])
        for case in (case for case in cases if case.patient_id in fold):
            label = maps[case.image_id]
            drawings = {"right": label} | {
                name: Volume(spoil(label.array), label.grid) for name, spoil in SPOILED.items()
            }
            for name, drawing in drawings.items():
                odd[name].append(1 - usual.judge(drawing, LABELS).score)
                far = np.abs(shares_of(drawing) - volumes.mean(axis=0)) / volumes.std(axis=0)
                peer[name].append(float(far.max()))
    report: dict[str, Any] = {**environment(), "drawings": len(cases), "right_called_odd": share_odd(odd["right"])}
    for name in SPOILED:
        wrong = np.arange(2 * len(cases)) >= len(cases)
        areas = [auroc(np.array(scores["right"] + scores[name]), wrong) for scores in (odd, peer)]
        report[name] = {"auroc": areas[0], "auroc_peer": areas[1], "called_odd": share_odd(odd[name])}
        if not arguments.json:
            print(
                f"{name}: AUROC {areas[0]:.3f} (volumes alone {areas[1]:.3f}), {report[name]['called_odd']:.0%} named"
            )
    print(json.dumps(report) if arguments.json else json.dumps(report, indent=2))


def share_odd(values: list[float]) -> float:
    """Share of drawings below the score at which something is named."""
    return float(np.mean(np.array(values) >= ODD))


if __name__ == "__main__":
    main()
