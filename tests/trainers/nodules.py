"""A small world of lung nodules: smooth and even, or large with spikes, which counts as malignant."""

from __future__ import annotations

import dataclasses

import numpy as np

from carina.geometry import Grid, Volume
from carina.registry import find_tasks
from carina.task import NetworkSpec, TrainerOptions

SHAPE, SPACING_MM = (40, 40, 24), (1.0, 1.0, 2.0)
SPEC = dataclasses.replace(
    find_tasks().get("nodule_malignancy"),
    name="toy_malignancy",
    crop_mm=(16.0, 16.0, 16.0),
    matrix_voxels=(16, 16, 16),
    network=NetworkSpec(name="local_cnn", arguments={"filters": (8, 16)}),
    weights=(),
    trainer=TrainerOptions(
        max_epochs=3,
        steps_per_epoch=15,
        batch_size=8,
        patch_voxels=(16, 16, 16),
        learning_rate=1e-2,
        validation_fraction=0.25,
        holdout_fraction=0.25,
        gate_margin=0.02,
    ),
)


def lungs(*nodules: tuple[tuple[int, int, int], bool], seed: int = 0) -> Volume:
    """Lung in HU with nodules: each the voxel in its middle, and whether it is malignant."""
    random = np.random.default_rng(seed)
    array = random.normal(-850, 20, SHAPE)
    at = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"), axis=-1)
    for centre, malignant in nodules:
        offset = (at - centre) * SPACING_MM
        distance = np.linalg.norm(offset, axis=-1)
        spikes = 2.0 * np.cos(4 * np.arctan2(offset[..., 1], offset[..., 0])) if malignant else 0.0
        array[distance < (6.0 if malignant else 3.0) + spikes] = 40.0
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = 12.0, -7.0, 30.0
    return Volume(array.astype(np.int16), Grid(SHAPE, affine))
