"""A task dropped in as one file is listed, trained and run, with no other change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ..plugins import plugin_path

TASK_FILE = textwrap.dedent(
    """
    from carina.structures import label_set
    from carina.task import NetworkSpec, TaskSpec, TrainerOptions, Window

    TASK = TaskSpec(
        name="dropped_in", kind="segmentation", description="Lungs of a third party.", modality=("CT",), dimension=3,
        labels=label_set("lung_right", "lung_left"), spacing_mm=(8.0, 8.0, 8.0),
        intensity=Window(lower=-1000, upper=400), body_threshold=-500, roi_voxels=(48, 48, 48),
        network=NetworkSpec(name="unet", arguments={"filters": (8, 16, 32)}),
        trainer=TrainerOptions(max_epochs=3, steps_per_epoch=15, patch_voxels=(32, 32, 32), learning_rate=1e-2),
    )
    """
)


@pytest.mark.slow
def test_a_dropped_in_task_is_listed_trained_and_run(tmp_path, carina_home):
    """The file's folder is put on the path of `carina.configs` from outside, as if the file lay in `lib/configs/`."""
    configs = tmp_path / "plugin" / "configs"
    configs.mkdir(parents=True)
    (configs / "dropped_in.py").write_text(TASK_FILE)
    path = plugin_path(tmp_path, tmp_path / "plugin")
    environment = {**os.environ, "PYTHONPATH": path, "CARINA_HOME": str(carina_home)}

    def carina(*arguments: object) -> dict:
        command = [Path(sys.executable).with_name("carina"), *map(str, arguments), "--json"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr[-3000:]
        return json.loads(ran.stdout.splitlines()[-1])

    folder = tmp_path / "phantoms"
    carina("phantom", "--out", folder, "--count", 4, "--seed", 3, "--shape", "48,40,40", "--nifti")
    assert "dropped_in" in {task["name"] for task in carina("tasks")["tasks"]}
    data = ("--images", folder / "images", "--labels", folder / "labels")
    assert carina("train", "dropped_in", *data, "--device", "cpu")["promoted"]
    image = sorted((folder / "images").iterdir())[0]
    carina("infer", "dropped_in", "--image", image, "--out", tmp_path / "draft.nii.gz")

    draft, given = nib.load(tmp_path / "draft.nii.gz"), nib.load(image)
    assert draft.shape == given.shape
    assert np.allclose(draft.affine, given.affine, atol=1e-5)
    assert set(np.unique(np.asarray(draft.dataobj))) <= {0, 1, 2}
    measured = carina("evaluate", "dropped_in", *data, "--device", "cpu")["labels"]
    assert set(measured) == {"lung_right", "lung_left"}
    assert min(row["dice"] for row in measured.values()) > 0.5
