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
    network=NetworkSpec(
        name="segresnet",
        arguments={"init_filters": 8, "blocks_down": (1, 1, 2, 2), "blocks_up": (1, 1, 1)},
    ),
    trainer=TrainerOptions(patch_voxels=(64, 64, 64)),
)
