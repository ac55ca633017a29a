"""A task of findings whose answer is known without training: a bright spot is a nodule, and nothing is a mass."""

from __future__ import annotations

from carina.findings import finding_set
from carina.task import NetworkSpec, Percentiles, TaskSpec, TrainerOptions

TASK = TaskSpec(
    name="spots_dx",
    kind="classification",
    description="Bright spots in radiographs.",
    modality=("DX",),
    dimension=2,
    labels=finding_set("mass", "nodule"),
    spacing_mm=None,
    matrix_voxels=(64, 64, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(64, 64, 1),
    network=NetworkSpec(name="spots"),
    trainer=TrainerOptions(patch_voxels=(64, 64, 1)),
)
