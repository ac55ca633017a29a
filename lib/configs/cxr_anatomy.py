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
    matrix_voxels=(160, 160, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(160, 160, 1),
    symmetric=True,
    smallest_piece=0.2,
    fill_holes=True,
    network=NetworkSpec(name="subpixel_unet", arguments={"filters": (24, 48, 96, 128, 192)}),
    # A picture is one patch; 2,400 steps take six minutes on two cores, and twice as long on slow ones.
    trainer=TrainerOptions(
        max_epochs=40,
        steps_per_epoch=60,
        batch_size=4,
        patch_voxels=(160, 160, 1),
        learning_rate=1.5e-3,
        patience_epochs=20,
        validation_fraction=0.1,
        holdout_fraction=0.1,
    ),
)
