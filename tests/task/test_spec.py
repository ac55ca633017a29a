"""Tasks are data."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from carina.errors import ConfigurationError
from carina.labels import Code, Label, LabelSet
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, TrainerOptions, Window, ZScoreThenRange


def make_spec(**changes) -> TaskSpec:
    code = Code("1", "99TEST", "thing")
    spec = TaskSpec(
        name="toy",
        kind="segmentation",
        description="A toy.",
        modality=("CT",),
        dimension=3,
        labels=LabelSet([Label(name="thing", index=1, category=code, type=code)]),
        spacing_mm=(3.0, 3.0, 3.0),
        intensity=Window(lower=-1000, upper=500),
        network=NetworkSpec(name="unet"),
    )
    return dataclasses.replace(spec, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "no good"},
        {"overlap": 1.0},
        {"overlap": -0.1},
        {"spacing_mm": (1.0, 0.0, 1.0)},
        {"matrix_voxels": (256, 256, 1)},
        {"spacing_mm": None, "matrix_voxels": (256, 0, 1)},
        {"smallest_piece": 1.5},
        {"symmetric": True, "labels": label_set("lung_left", "heart")},
        {"symmetric": True, "kind": "deepedit"},
        {"kind": "deepedit", "labels": LabelSet(label_set("lung_left", "heart"), overlapping=True)},
    ],
)
def test_refuses_a_declaration_that_contradicts_itself(changes):
    with pytest.raises(ConfigurationError, match="got"):
        make_spec(**changes)


def test_the_background_is_one_more_channel():
    assert make_spec().out_channels == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing_mm": (1.5, 1.5, 1.5)},
        {"intensity": ZScoreThenRange()},
        {"intensity": Window(lower=-1000, upper=400)},
        {"network": NetworkSpec(name="unet", arguments={"channels": [8]})},
        {"network": dataclasses.replace(make_spec().network, members=2)},
    ],
)
def test_weights_of_another_meaning_have_another_fingerprint(changes):
    assert make_spec(**changes).fingerprint() != make_spec().fingerprint()


def test_texts_and_trainer_options_do_not_change_the_fingerprint():
    changed = make_spec(description="Another.", trainer=TrainerOptions(max_epochs=1), overlap=0.5)
    assert changed.fingerprint() == make_spec().fingerprint()


def test_listing_tasks_does_not_import_torch():
    code = "import sys; from carina.registry import find_tasks; print(len(find_tasks()), 'torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(answer[0]) >= 2
    assert answer[1] == "False"


def test_labels_that_overlap_need_no_background_channel_and_make_another_checkpoint():
    spec = make_spec()
    overlapping = make_spec(labels=LabelSet(spec.labels, overlapping=True))
    assert (spec.out_channels, overlapping.out_channels) == (2, 1)
    assert spec.fingerprint() != overlapping.fingerprint()


def test_another_matrix_makes_another_checkpoint():
    matrices = [(256, 256, 1), (128, 128, 1)]
    first, second = (make_spec(spacing_mm=None, matrix_voxels=matrix).fingerprint() for matrix in matrices)
    assert first != second


def test_a_task_takes_its_modalities_and_files_without_one():
    spec = make_spec(modality=("CR", "DX"))
    assert [spec.takes(modality) for modality in ("DX", "CT", "")] == [True, False, True]


def test_a_task_with_both_sides_may_be_symmetric():
    assert make_spec(labels=label_set("lung_left", "lung_right", "heart"), symmetric=True).symmetric
