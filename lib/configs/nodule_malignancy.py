"""Chest CT: how likely the lung nodule that a person points at is malignant."""

from __future__ import annotations

from ..findings import finding_set
from ..task import NetworkSpec, PublicWeights, TaskSpec, TrainerOptions, Window

TASK = TaskSpec(
    name="nodule_malignancy",
    kind="classification",
    description="How likely a lung nodule in chest CT is malignant: click on it, or draw a box around it.",
    modality=("CT",),
    dimension=3,
    labels=finding_set("malignant_nodule"),
    # The nodule and what lies around it, 1.25 mm a voxel; a nodule is at most 30 mm wide (Fleischner Society).
    crop_mm=(40.0, 40.0, 40.0),
    matrix_voxels=(32, 32, 32),
    intensity=Window(lower=-1000.0, upper=400.0),
    roi_voxels=(32, 32, 32),
    network=NetworkSpec(name="resnet"),
    weights=(
        PublicWeights(
            file_name="resnet_10_23dataset.pth",
            source="https://huggingface.co/TencentMedicalNet/MedicalNet-Resnet10",
            licence="MIT",
            state_key="state_dict",
            layout="medicalnet",
            judges=False,
        ),
    ),
    trainer=TrainerOptions(
        max_epochs=30,
        steps_per_epoch=30,
        batch_size=8,
        patch_voxels=(32, 32, 32),
        learning_rate=3e-4,
        weight_decay=1e-2,
        gate_margin=0.02,
    ),
)
