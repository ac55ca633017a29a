"""Chest radiographs: ground glass and consolidation, which pass into each other and may overlap."""

from __future__ import annotations

from ..structures import label_set
from ..task import NetworkSpec, Percentiles, TaskSpec, TrainerOptions

TASK = TaskSpec(
    name="cxr_opacity",
    kind="segmentation",
    description="Ground-glass opacity and consolidation in frontal chest radiographs; trains on a small computer.",
    modality=("CR", "DX", "RG", "OT", "SC"),
    dimension=2,
    labels=label_set("ground_glass_opacity", "consolidation", overlapping=True),
    spacing_mm=None,
    matrix_voxels=(160, 160, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(160, 160, 1),
    symmetric=True,
    network=NetworkSpec(name="subpixel_unet", arguments={"filters": (24, 48, 96, 128, 192)}),
    trainer=TrainerOptions(
        max_epochs=40,
        steps_per_epoch=50,
        batch_size=4,
        patch_voxels=(160, 160, 1),
        learning_rate=1.5e-3,
        patience_epochs=20,
        gate_margin=0.02,
    ),
)
