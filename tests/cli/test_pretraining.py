from __future__ import annotations

import numpy as np
import pytest

from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.models.store import ModelStore
from carina.settings import Settings

QUICK = ("--max-epochs", 1, "--steps-per-epoch", 1, "--set", "patch_voxels=16,16,16", "--device", "cpu", "--json")


@pytest.fixture
def images(tmp_path):
    """Three small images of three patients."""
    grid = Grid((20, 18, 12), np.diag([-3.0, 3.0, 4.0, 1.0]))
    folder = tmp_path / "ct"
    folder.mkdir()
    for number in range(3):
        array = np.random.default_rng(number).normal(40, 100, grid.shape).astype(np.float32)
        write_image(folder / f"c{number}.nii.gz", Volume(array, grid))
    return folder


def test_gives_a_version_to_start_from_that_cannot_be_served(carina, images):
    ran = carina("pretrain", "thorax_ct", "--images", images, *QUICK)

    assert ran.exit_code == 0, ran.stderr
    assert (ran.json["version"], ran.json["images"], ran.json["epochs"]) == ("v1", 2, 1)
    assert ran.json["filled"] <= 1
    assert "--start-from v1" in ran.stderr
    assert ModelStore(Settings().models_dir).get("thorax_ct", "v1").source == "pretrained"
    refused = carina("models", "promote", "thorax_ct", "v1", "--json")
    assert refused.exit_code == 1
    assert "got one that was pretrained" in refused.json["detail"]


def test_a_task_that_tells_findings_is_refused(carina, images):
    ran = carina("pretrain", "cxr_findings", "--images", images, *QUICK)
    assert ran.exit_code == 1
    assert "must be a segmentation" in ran.json["detail"]
