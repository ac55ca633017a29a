"""What benchmarks of radiographs share: the radiographs of the test data, folds by patient, one training per fold."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carina.geometry import Volume
from carina.images import read_label, read_volume
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.task import TaskSpec, TrainerOptions
from carina.trainers.cases import LabelledImage
from carina.trainers.splits import Part
from carina.trainers.training import TrainResult, train

SEED = 0
LUNGS = ("left_lung", "right_lung")
Parts = dict[str, Part]
"""Patient → part of the split."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image of the test data."""

    image_id: str
    patient: str
    row: Mapping[str, str]
    folder: Path

    def image(self) -> Volume:
        """Read once."""
        return _image(self.folder / "images" / f"{self.image_id}.png")

    def lungs(self) -> np.ndarray:
        """`(X, Y, 1)` boolean, as people drew them."""
        files = [self.folder / "masks" / self.image_id / f"{name}.png" for name in LUNGS]
        return np.logical_or.reduce([_mask(path) for path in files if path.is_file()])


@cache
def _image(path: Path) -> Volume:
    return read_volume(path)


@cache
def _mask(path: Path) -> np.ndarray:
    return read_label(path)[0].array > 0


def radiographs(*, having: Sequence[str] = LUNGS) -> list[Radiograph]:
    """Those with these structures drawn, in the order of their ids."""
    folder = Path(os.environ["CARINA_TEST_DATA"]) / "cxr"
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Radiograph(row["image"], row["patient"], row, folder)
        for row in sorted(rows, key=lambda row: row["image"])
        if all(row[name] == "1" for name in having)
    ]


def folds_of(answers: Mapping[str, bool], *, count: int, seed: int = SEED) -> list[list[str]]:
    """Patients in folds that have as many of either answer as the others."""
    random = np.random.default_rng(seed)
    folds: list[list[str]] = [[] for _ in range(count)]
    position = 0
    for answer in (True, False):
        for patient in random.permutation(sorted(name for name, value in answers.items() if value == answer)):
            folds[position % count].append(str(patient))
            position += 1
    return folds


def next_fold_chooses(folds: list[list[str]], held_out: int) -> Parts:
    """One fold is held out, the next one chooses the epoch and calibrates, the others are learnt from."""
    parts: Parts = {patient: "train" for fold in folds for patient in fold}
    parts |= dict.fromkeys(folds[(held_out + 1) % len(folds)], "validation")
    return parts | dict.fromkeys(folds[held_out], "holdout")


class FixedSplit:
    """A split that the benchmark decides."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def get(self, task: str) -> Mapping[str, Part]:
        """Patient → part."""
        return self._parts

    def put(self, task: str, added: Mapping[str, Part]) -> None:
        """Never needed."""
        raise AssertionError(f"every patient has a fold, got new ones: {sorted(added)}")


def train_fold(
    cases: Sequence[LabelledImage], parts: Parts, *, spec: TaskSpec, folder: Path, options: TrainerOptions
) -> TrainResult:
    """Train with `carina train`'s own code; measured on the fold held out, which nothing else saw."""
    return train(
        cases,
        spec=spec,
        models=ModelStore(folder / "models"),
        splits=FixedSplit(parts),
        predict=predict,
        work_dir=folder / "work",
        options=options,
        start_from="nothing",
    )


def environment() -> dict[str, Any]:
    """What a figure depends on besides the code."""
    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "monai", "numpy")},
        "seed": SEED,
    }
