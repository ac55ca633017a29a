"""Whole-body CT: the 104 structures of TotalSegmentator v1, with the network of MONAI's public bundle."""

from __future__ import annotations

from ..structures import TOTALSEGMENTATOR_V1, label_set
from ..task import NetworkSpec, PublicWeights, TaskSpec, TrainerOptions, ZScoreThenRange

TASK = TaskSpec(
    name="wholebody_ct",
    kind="segmentation",
    description="104 structures of the whole body in CT: organs, vessels, bones and muscles, at 1.5 mm.",
    modality=("CT",),
    dimension=3,
    labels=label_set(*TOTALSEGMENTATOR_V1),
    spacing_mm=(1.5, 1.5, 1.5),
    intensity=ZScoreThenRange(),
    body_threshold=-500.0,
    roi_voxels=(96, 96, 96),
    overlap=0.25,
    network=NetworkSpec(
        name="segresnet",
        arguments={"init_filters": 32, "blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1), "dropout_prob": 0.2},
    ),
    trainer=TrainerOptions(),
    weights=(
        PublicWeights(
            file_name="model.pt",
            source="MONAI Model Zoo, wholeBody_ct_segmentation 0.2.5",
            licence="Apache-2.0",
            state_key="model",
        ),
    ),
)
