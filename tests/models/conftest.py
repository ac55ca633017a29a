"""A task with a tiny network, and its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from carina.models.store import ModelStore
from carina.structures import label_set
from carina.task import NetworkSpec, PublicWeights, TaskSpec, Window


@pytest.fixture
def spec() -> TaskSpec:
    return TaskSpec(
        name="toy_ct",
        kind="segmentation",
        description="Two organs.",
        modality=("CT",),
        dimension=3,
        labels=label_set("liver", "spleen"),
        spacing_mm=(2.0, 2.0, 2.0),
        intensity=Window(lower=0.0, upper=100.0),
        network=NetworkSpec(name="segresnet", arguments={"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)}),
        weights=(PublicWeights(file_name="model.pt", source="somewhere", licence="CC0-1.0", state_key="model"),),
    )


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")
