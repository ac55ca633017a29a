from __future__ import annotations

import shutil

import pytest

from carina.images import write_image
from carina.phantoms.chest import make_chest


@pytest.fixture
def images(tmp_path):
    """Three patients, and the first of them once more with other noise."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, seed, noise in (("a", 1, 18.0), ("a-again", 1, 5.0), ("b", 2, 18.0), ("c", 3, 18.0)):
        write_image(folder / f"{name}.nii.gz", make_chest(seed, shape=(24, 24, 16), noise_hu=noise).image)
    return folder


def test_the_same_patient_comes_first_without_a_model_and_looks_are_remembered(carina, images):
    ran = carina("similar", "a", "--task", "thorax_ct", "--store", images, "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["model_version"] is None
    assert ran.json["similar"][0]["image"] == "a-again"
    assert len(ran.json["similar"]) == 3
    again = carina("similar", "a", "--task", "thorax_ct", "--store", images, "--count", 1, "--json")
    assert again.json["similar"] == ran.json["similar"][:1]


def test_a_file_from_elsewhere_is_compared_by_the_served_model(carina, images, tmp_path, untrained_model):
    elsewhere = shutil.move(images / "a-again.nii.gz", tmp_path / "other.nii.gz")
    ran = carina("similar", elsewhere, "--task", "thorax_ct", "--store", images, "--device", "cpu", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["model_version"] == untrained_model
    assert len(ran.json["similar"]) == 3


def test_a_task_without_a_network_has_nothing_to_compare_by(carina, images):
    ran = carina("similar", "a", "--task", "scribbles", "--store", images, "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "InvalidInputError")
