"""A task that judges a part of a CT, whose answer is known: bone in it makes a malignant nodule."""

from __future__ import annotations

from carina.findings import finding_set
from carina.task import NetworkSpec, TaskSpec, Window

TASK = TaskSpec(
    name="spots_ct",
    kind="classification",
    description="Bone around the place that is pointed at.",
    modality=("CT",),
    dimension=3,
    labels=finding_set("malignant_nodule"),
    crop_mm=(24.0, 24.0, 24.0),
    matrix_voxels=(16, 16, 16),
    intensity=Window(lower=-1000.0, upper=400.0),
    roi_voxels=(16, 16, 16),
    network=NetworkSpec(name="spots"),
)
