"""Chest radiographs: both lungs, cardiomediastinum and airways, which lie over each other in a projection."""

from __future__ import annotations

from ..structures import label_set
from ..task import NetworkSpec, Percentiles, TaskSpec, TrainerOptions

TASK = TaskSpec(
    name="cxr_anatomy",
    kind="segmentation",
    description="Lungs, cardiomediastinum and airways in frontal chest radiographs; trains on a small computer.",
    modality=("CR", "DX", "RG", "OT", "SC"),
    dimension=2,
    labels=label_set("lung_left", "lung_right", "cardiomediastinum", "airways", overlapping=True),
    spacing_mm=None,
    matrix_voxels=(256, 256, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(256, 256, 1),
    one_piece=True,
    network=NetworkSpec(name="light_unet", arguments={"channels": (32, 64, 96, 128, 192), "strides": (2, 2, 2, 2)}),
    trainer=TrainerOptions(
        max_epochs=20,
        steps_per_epoch=60,
        batch_size=8,
        patch_voxels=(256, 256, 1),
        learning_rate=2e-3,
        patience_epochs=20,
        validation_fraction=0.1,
        holdout_fraction=0.1,
    ),
)
