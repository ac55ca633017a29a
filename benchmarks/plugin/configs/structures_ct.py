"""105 structures, each drawn in the phantom with an intensity of its own."""

from __future__ import annotations

from carina.structures import TOTALSEGMENTATOR_V1, label_set
from carina.task import NetworkSpec, PublicWeights, TaskSpec, Window

TASK = TaskSpec(
    name="structures_ct",
    kind="segmentation",
    description="105 structures of a phantom, by their intensities.",
    modality=("CT",),
    dimension=3,
    labels=label_set(*TOTALSEGMENTATOR_V1, "spinal_cord"),
    spacing_mm=None,
    intensity=Window(lower=-1000.0, upper=800.0),
    roi_voxels=(64, 64, 64),
    overlap=0.0,
    network=NetworkSpec(name="prototypes"),
    weights=(PublicWeights(file_name="model.pt", source="made by the benchmark", licence="Apache-2.0"),),
)
