"""Thorax CT: lungs, heart, trachea, spine and nodules, small enough to train on two CPU cores in a minute or two."""

from __future__ import annotations

from ..structures import label_set
from ..task import NetworkSpec, TaskSpec, TrainerOptions, Window

TASK = TaskSpec(
    name="thorax_ct",
    kind="segmentation",
    description="Lungs, heart, trachea, spine and nodules in chest CT, at 3 mm; trains on a small computer.",
    modality=("CT",),
    dimension=3,
    labels=label_set("lung_left", "lung_right", "heart", "trachea", "spine", "nodule"),
    spacing_mm=(3.0, 3.0, 3.0),
    intensity=Window(lower=-1000.0, upper=400.0),
    body_threshold=-500.0,
    roi_voxels=(96, 96, 96),
    overlap=0.25,
    network=NetworkSpec(name="light_unet", arguments={"channels": (16, 32, 64, 128), "strides": (2, 2, 2)}),
    # Twelve epochs on ten phantoms take a minute and a half on two cores; eight sometimes end below a Dice of 0.85.
    trainer=TrainerOptions(
        max_epochs=12,
        steps_per_epoch=40,
        batch_size=1,
        patch_voxels=(80, 80, 80),
        learning_rate=4e-3,
        patience_epochs=6,
    ),
)
