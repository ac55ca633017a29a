"""Small radiographs: a dark lung that may hold a nodule, and in a corner a marker that may go with the answer."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from carina.findings import finding_set
from carina.geometry import Grid, Volume
from carina.trainers.cases import FindingsCase

from ..trainers import findings

SIDE = 40
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
_X, _Y = np.mgrid[:SIDE, :SIDE]
LUNG = (((_X - 19.5) / 13) ** 2 + ((_Y - 19.5) / 11) ** 2 < 1)[..., None]

SPEC = dataclasses.replace(
    findings.SPEC,
    name="toy_audit",
    labels=finding_set("nodule"),
    matrix_voxels=(SIDE, SIDE, 1),
    roi_voxels=(SIDE, SIDE, 1),
    trainer=dataclasses.replace(
        findings.SPEC.trainer, max_epochs=4, steps_per_epoch=25, validation_fraction=0.3, holdout_fraction=0.2
    ),
)


def draw(number: int, *, nodule: bool, marker: bool) -> Volume:
    """A noisy image with a lung, and what it is to have."""
    random = np.random.default_rng(number)
    array = random.normal(150, 6, (SIDE, SIDE, 1)).astype(np.float32)
    array[LUNG] -= 70
    x, y = random.integers(13, 23, 2)
    if nodule:
        array[x : x + 5, y : y + 5] += 60
    if marker:  # a cross, which is not what an audit plants
        array[3:5, 1:7], array[1:7, 3:5] = 250, 250
    return Volume(array, Grid(array.shape, AFFINE))


def cases(count: int, *, first: int = 0, marker: str = "random") -> list[FindingsCase]:
    """Images of as many patients.

    Args:
        count: How many.
        first: Number of the first; others have other noise.
        marker: `with_finding`, or `random` where it says nothing.
    """
    made = []
    for number in range(first, first + count):
        nodule = bool(number % 2)
        marked = nodule if marker == "with_finding" else bool(number // 2 % 2)
        made.append(
            FindingsCase(
                image_id=f"i{number}",
                patient_id=f"p{number}",
                load=partial(draw, number, nodule=nodule, marker=marked),
                findings={"nodule": nodule},
                revision=f"{number} {marker}",
                annotated=frozenset(("nodule",)),
            )
        )
    return made
