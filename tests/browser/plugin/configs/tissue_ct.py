"""A task whose draft is known without a trained network: lung by its density, and bone by its own."""

from __future__ import annotations

from carina.structures import label_set
from carina.task import NetworkSpec, PublicWeights, TaskSpec, TrainerOptions, Window

TASK = TaskSpec(
    name="tissue_ct",
    kind="segmentation",
    description="Lung and bone by their densities.",
    modality=("CT",),
    dimension=3,
    labels=label_set("lung_left", "spine"),
    spacing_mm=None,
    intensity=Window(lower=-1000.0, upper=400.0),
    roi_voxels=(96, 96, 64),
    network=NetworkSpec(name="densities"),
    trainer=TrainerOptions(
        max_epochs=3, steps_per_epoch=2, batch_size=1, patch_voxels=(32, 32, 32), learning_rate=1e-4
    ),
    weights=(PublicWeights(file_name="model.pt", source="made by the test", licence="Apache-2.0"),),
)
