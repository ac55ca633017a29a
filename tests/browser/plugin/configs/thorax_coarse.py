"""A small task of the chest that a network learns on three phantoms in half a minute."""

from __future__ import annotations

from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, TrainerOptions, Window

TASK = TaskSpec(
    name="thorax_coarse",
    kind="segmentation",
    description="Lungs and heart at large voxels.",
    modality=("CT",),
    dimension=3,
    labels=label_set("lung_left", "lung_right", "heart"),
    spacing_mm=(8.0, 8.0, 8.0),
    intensity=Window(lower=-1000.0, upper=400.0),
    body_threshold=-500.0,
    roi_voxels=(48, 48, 48),
    network=NetworkSpec(name="light_unet", arguments={"channels": (16, 32, 64), "strides": (2, 2)}),
    trainer=TrainerOptions(
        max_epochs=2, steps_per_epoch=50, batch_size=1, patch_voxels=(32, 32, 32), learning_rate=4e-3
    ),
)
