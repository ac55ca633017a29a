from __future__ import annotations

import json

import pytest

from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_label
from carina.images import read_label, write_image
from carina.phantoms.chest import make_chest
from carina.settings import Settings

QUICK = ("--folds", 2, "--steps", 1, "--device", "cpu")


@pytest.fixture
def folders(tmp_path):
    """The middle of four phantoms as files, each of a patient of its own."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    for seed in range(4):
        made = make_chest(seed, shape=(16, 16, 12), spacing_mm=(5.0, 5.0, 5.0))
        write_image(images / f"p{seed}.nii.gz", made.image)
        write_image(labels / f"p{seed}.nii.gz", made.label)
    (labels / "labels.json").write_text(json.dumps(dict(made.structures)))
    return images, labels


def test_labels_in_folders_are_ranked(carina, folders):
    images, labels = folders
    ran = carina("review", "thorax_ct", "--images", images, "--labels", labels, *QUICK, "--json")

    assert ran.exit_code == 0, ran.stderr
    scores = [row["score"] for row in ran.json["cases"]]
    assert scores == sorted(scores, reverse=True)
    assert {row["image"] for row in ran.json["cases"]} == {"p0", "p1", "p2", "p3"}
    assert set(ran.json["cases"][0]) == {"image", "score", "suspect", "reasons", "structures"}
    assert "label(s) look wrong" in ran.stderr


def test_without_folders_the_labels_of_the_annotation_store_are_ranked(carina, folders):
    images, labels = folders
    names = json.loads((labels / "labels.json").read_text())
    annotations = open_annotations(Settings())
    for path in sorted(labels.glob("*.nii.gz")):
        label = read_label(path)[0]
        image_id = path.name.removesuffix(".nii.gz")
        submit_label(annotations, image_id=image_id, image=label.grid, label=label, client_names=names)
    annotations.close()

    ran = carina("review", "thorax_ct", "--store", images, *QUICK, "--json")

    assert ran.exit_code == 0, ran.stderr
    assert {row["image"] for row in ran.json["cases"]} == {"p0", "p1", "p2", "p3"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("thorax_ct", "--images", "x"), "--images and --labels, or neither"),
        (("cxr_covid19",), "must draw structures"),
        (("scribbles",), "must have a network"),
    ],
)
def test_what_cannot_be_reviewed_is_said(carina, arguments, message):
    ran = carina("review", *arguments, "--json")
    assert ran.exit_code == 1
    assert message in ran.json["detail"]


def test_nothing_submitted_is_nothing_to_review(carina, folders):
    ran = carina("review", "thorax_ct", "--store", folders[0], *QUICK, "--json")
    assert ran.exit_code == 1
    assert "at least 4 patients, got 0" in ran.json["detail"]
