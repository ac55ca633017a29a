"""Chest radiographs: COVID-19 against other disease of the lungs, as a probability of the whole image."""

from __future__ import annotations

from ..findings import finding_set
from ..task import NetworkSpec, Percentiles, TaskSpec, TrainerOptions

TASK = TaskSpec(
    name="cxr_covid19",
    kind="classification",
    description="COVID-19 in frontal chest radiographs, as a calibrated probability; trains on a small computer.",
    modality=("CR", "DX", "RG", "OT", "SC"),
    dimension=2,
    labels=finding_set("covid19"),
    spacing_mm=None,
    matrix_voxels=(192, 192, 1),
    intensity=Percentiles(lower=1.0, upper=99.0),
    roi_voxels=(192, 192, 1),
    # A tenth of DenseNet121's features: fifty radiographs do not fill more, and two cores train it in a few minutes.
    network=NetworkSpec(
        name="densenet", arguments={"init_features": 16, "growth_rate": 8, "block_config": (4, 4, 4, 4)}
    ),
    trainer=TrainerOptions(
        max_epochs=20,
        steps_per_epoch=20,
        batch_size=8,
        patch_voxels=(192, 192, 1),
        learning_rate=1e-3,
        weight_decay=1e-2,
        patience_epochs=10,
        validation_fraction=0.2,
        holdout_fraction=0.2,
        gate_margin=0.02,
    ),
)
