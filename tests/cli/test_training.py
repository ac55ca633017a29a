from __future__ import annotations

import pytest

from carina.geometry import Volume
from carina.images import read_label, write_label
from carina.models.store import ModelStore
from carina.settings import Settings
from carina.trainers.splits import FileSplitStore

QUICK = ("--max-epochs", 1, "--steps-per-epoch", 1, "--batch-size", 1, "--device", "cpu")


@pytest.fixture
def folders(phantoms):
    return ("--images", phantoms / "images", "--labels", phantoms / "labels")


@pytest.mark.slow
def test_trains_a_version_and_evaluates_it(carina, folders):
    """Whether one step is better than chance is the gate's to say; the version can be looked at all the same."""
    trained = carina(
        "train", "thorax_ct", *folders, *QUICK, "--set", "patch_voxels=32,32,32", "--start-from", "auto", "--json"
    )
    evaluated = carina("evaluate", "thorax_ct", *folders, "--version", "v1", "--per-case", "--device", "cpu", "--json")

    assert trained.exit_code == 0, trained.stderr
    assert (trained.json["version"], trained.json["epochs"]) == ("v1", 1)
    assert trained.json["start"]["chosen"] == "nothing"
    assert trained.json["start"]["reason"] == "no earlier version fits the task"
    assert (ModelStore(Settings().models_dir).served("thorax_ct") is not None) is trained.json["promoted"]
    parts = FileSplitStore(Settings().models_dir).get("thorax_ct")
    assert sorted(parts) == ["PHANTOM-007", "PHANTOM-008", "PHANTOM-009"]
    assert sorted(parts.values()) == ["holdout", "train", "validation"]
    assert evaluated.exit_code == 0, evaluated.stderr
    assert set(evaluated.json) == {"task", "model_version", "cases", "labels", "per_case"}
    assert len(evaluated.json["per_case"]) == 3


def test_evaluate_gives_exactly_the_agreed_object(carina, folders, untrained_model):
    ran = carina("evaluate", "thorax_ct", *folders, "--device", "cpu", "--json")

    assert ran.exit_code == 0, ran.stderr
    assert set(ran.json) == {"task", "model_version", "cases", "labels"}
    assert (ran.json["task"], ran.json["model_version"], ran.json["cases"]) == ("thorax_ct", untrained_model, 3)
    assert set(ran.json["labels"]) == {"lung_left", "lung_right", "heart", "trachea", "spine", "nodule"}
    assert all(set(row) == {"dice", "hd95_mm", "volume_error_ml"} for row in ran.json["labels"].values())


def test_evaluate_tells_in_how_many_cases_a_structure_was_annotated(carina, phantoms, untrained_model, tmp_path):
    names = {path.name.removesuffix(".nii.gz") for path in (phantoms / "labels").glob("*.nii.gz")}
    missing = min(names)
    for name in names:
        label, _ = read_label(phantoms / "labels" / f"{name}.nii.gz")
        for structure, value in (("lung_left", 1), ("heart", 3)):
            if (name, structure) != (missing, "heart"):
                mask = Volume((label.array == value).astype("uint8"), label.grid)
                write_label(tmp_path / "masks" / name / f"{structure}.nii.gz", mask)
    ran = carina(
        "evaluate", "thorax_ct", "--images", phantoms / "images", "--labels", tmp_path, "--device", "cpu", "--json"
    )
    assert ran.exit_code == 0, ran.stderr
    rows = {line.split("│")[1].strip(): line.split("│")[-2].strip() for line in ran.stderr.splitlines() if "│" in line}
    assert rows == {"lung_left": "3", "heart": "2"}


def test_an_unknown_trainer_option_is_refused_before_anything_is_stored(carina, folders):
    ran = carina("train", "thorax_ct", *folders, "--set", "batchsize=2", "--json")

    assert ran.exit_code == 1
    assert "Did you mean 'batch_size'" in ran.json["detail"]
    assert ModelStore(Settings().models_dir).list("thorax_ct") == ()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_folders_must_be_there(carina, phantoms, tmp_path, command):
    ran = carina(command, "thorax_ct", "--images", tmp_path / "no", "--labels", phantoms / "labels", "--json")

    assert ran.exit_code == 1
    assert ran.json["error"] == "InvalidInputError"
