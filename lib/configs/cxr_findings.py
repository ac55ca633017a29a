"""Chest radiographs: the 18 findings that public data sets name; findings nobody looked for teach nothing."""

from __future__ import annotations

from ..findings import TORCHXRAYVISION, finding_set
from ..task import NetworkSpec, Percentiles, PublicWeights, TaskSpec, TrainerOptions

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
    weights=(
        PublicWeights(
            file_name="nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
            source="https://github.com/mlmed/torchxrayvision/releases/tag/v1 (densenet121-res224-all)",
            licence="Apache-2.0 (code); its training images have licences of their own, some for research only",
            layout="torchxrayvision",
        ),
    ),
    trainer=TrainerOptions(
        batch_size=16,
        patch_voxels=(224, 224, 1),
        learning_rate=3e-4,
        weight_decay=1e-2,
        gate_margin=0.02,
    ),
)
