"""A small world for classifications: squares that are there or not, and a network that learns them in seconds."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from carina.findings import finding_set
from carina.geometry import Grid, Volume
from carina.registry import find_tasks
from carina.task import NetworkSpec, TrainerOptions
from carina.trainers.cases import FindingsCase

SIDE = 32

SPEC = dataclasses.replace(
    find_tasks().get("cxr_findings"),
    name="toy_findings",
    labels=finding_set("nodule", "mass", "fracture"),
    matrix_voxels=(SIDE, SIDE, 1),
    roi_voxels=(SIDE, SIDE, 1),
    network=NetworkSpec(name="densenet", arguments={"init_features": 8, "growth_rate": 8, "block_config": (2, 2)}),
    trainer=TrainerOptions(
        max_epochs=3,
        steps_per_epoch=20,
        batch_size=8,
        patch_voxels=(SIDE, SIDE, 1),
        learning_rate=5e-3,
        validation_fraction=0.25,
        holdout_fraction=0.25,
        gate_margin=0.02,
    ),
)
"""`nodule`: a bright square in the upper half; `mass`: a wide one in the lower; nobody looked for `fracture`."""


def draw(number: int, *, nodule: bool, mass: bool, seed: int = 0) -> Volume:
    """A noisy image with what it is to have."""
    random = np.random.default_rng([seed, number])
    array = random.normal(100, 5, (SIDE, SIDE, 1)).astype(np.float32)
    x, y = random.integers(4, 24, 2)
    if nodule:
        array[x : x + 5, y // 2 : y // 2 + 5] += 60
    if mass:
        array[4:28, 22:28] += 40
    return Volume(array, Grid(array.shape, np.diag([-1.0, -1.0, 1.0, 1.0])))


def cases(count: int = 32, *, seed: int = 0) -> list[FindingsCase]:
    """Two images a patient; the second of them was not looked at for `mass`."""
    made = []
    for number in range(count):
        nodule, mass = bool(number // 2 % 2), bool(number // 4 % 2)
        findings = {"nodule": nodule} if number % 2 else {"nodule": nodule, "mass": mass}
        made.append(
            FindingsCase(
                image_id=f"image{number:02d}",
                patient_id=f"patient{number // 2:02d}",
                load=partial(draw, number, nodule=nodule, mass=mass, seed=seed),
                findings=findings,
                revision=f"r{number}",
                annotated=frozenset(findings),
            )
        )
    return made
