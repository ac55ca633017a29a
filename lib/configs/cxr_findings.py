"""Chest radiographs: the 18 findings that public data sets name; findings nobody looked for teach nothing."""

from __future__ import annotations

from ..findings import TORCHXRAYVISION, finding_set
from ..task import NetworkSpec, Percentiles, TaskSpec, TrainerOptions

TASK = TaskSpec(
    name="cxr_findings",
    kind="classification",
    description="18 findings in frontal chest radiographs, each as a calibrated probability.",
    modality=("CR", "DX", "RG", "OT", "SC"),
    dimension=2,
    labels=finding_set(*TORCHXRAYVISION),
    spacing_mm=None,
    matrix_voxels=(224, 224, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(224, 224, 1),
    network=NetworkSpec(name="densenet"),
    trainer=TrainerOptions(
        batch_size=16,
        patch_voxels=(224, 224, 1),
        learning_rate=3e-4,
        weight_decay=1e-2,
        gate_margin=0.02,
    ),
)
