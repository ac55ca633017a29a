"""Scores are kept among an image's notes, once per method and model version."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from carina.datastores.port import open_store
from carina.errors import InvalidInputError, UnknownNameError
from carina.images import write_image
from carina.jobs import score
from carina.jobs.images import ALL
from carina.jobs.look import looking_with
from carina.jobs.score import score_key
from carina.models.loading import load_weights
from carina.models.store import ModelStore
from carina.registry import find_tasks
from carina.scoring.entropy import METHOD
from carina.structures import label_set
from carina.task import NetworkSpec
from tests.infers.builder import usual_organs
from tests.trainers.findings import draw

from .conftest import SPEC, add_version
from .test_roi import add_anatomy

FINDINGS = dataclasses.replace(
    find_tasks().get("cxr_findings"), network=NetworkSpec(name="local_cnn"), matrix_voxels=(64, 64, 1)
)


@pytest.fixture
def scoring(job_of):
    return job_of(score)


def note(annotations, image_id: str) -> dict:
    return annotations.image_info(image_id)[score_key(SPEC.name, METHOD.name)]


def test_every_image_gets_a_score_of_the_model_version_and_keeps_it(scoring, annotations, settings):
    version = add_version(settings, 0)
    result = scoring(images=ALL)
    assert (result["method"], result["model_version"], result["scored"]) == ("entropy", version, 3)
    first = note(annotations, "case0")
    assert (first["version"], 0 < first["value"] <= 1) == (version, True)
    assert scoring("again", images=ALL)["already_scored"] == 3
    assert note(annotations, "case0") == first

    newer = add_version(settings, 1)
    assert scoring("newer", images=ALL)["scored"] == 3
    assert note(annotations, "case0")["version"] == newer


def test_a_committee_is_the_versions_that_were_kept_and_never_one_alone(scoring, annotations, settings):
    add_version(settings, 0)
    with pytest.raises(InvalidInputError, match="two or more versions of 'thorax_ct' with weights, got v1 alone"):
        scoring("alone", method="committee", images=["case0"])
    newer = add_version(settings, 1)
    assert scoring("two", method="committee", images=["case0"])["scored"] == 1
    score_of_two = annotations.image_info("case0")[score_key(SPEC.name, "committee")]
    assert score_of_two["version"] == newer
    assert 0 < score_of_two["value"] <= 1


def test_an_unknown_method_or_option_is_refused():
    with pytest.raises(UnknownNameError, match="entropy"):
        score.check(SPEC, {"method": "entropi"})
    with pytest.raises(InvalidInputError, match="overlap"):
        score.check(SPEC, {"overlap": 0.5})


def test_drafts_are_compared_with_the_labels_learned_from(scoring, annotations, settings):
    without = add_version(settings, 0)
    with pytest.raises(InvalidInputError, match="got v1 without"):
        scoring(images=ALL, method="plausibility")
    models = ModelStore(settings.models_dir)
    state = load_weights(models.get(SPEC.name, without))
    learned = dataclasses.replace(SPEC, labels=label_set("liver", "spleen", "stomach"))
    usual = dataclasses.replace(usual_organs(learned), names=("heart", "trachea", "spine"))
    usual = dataclasses.replace(usual, present=dict.fromkeys(usual.names, 1.0), spreads={})
    version = models.add(
        SPEC.name, state, fingerprint=SPEC.fingerprint(), labels=SPEC.labels.indices, plausibility=usual
    )
    result = scoring("again", images=["case0"], method="plausibility", model_version=version.version)
    assert result["scored"] == 1
    assert annotations.image_info("case0")[score_key(SPEC.name, "plausibility")]["value"] == 1.0
    assert annotations.looks.version("case0", task=SPEC.name) == version.version


def test_findings_of_radiographs_are_scored_too(job_of, annotations, settings, tmp_path):
    folder = tmp_path / "radiographs"
    folder.mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 255, (48, 48)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"r{number}.png")
    version = add_version(settings, 0, spec=FINDINGS)
    run = job_of(score, spec=FINDINGS, store=open_store(str(folder), settings=settings))
    assert run(images=ALL)["scored"] == 2
    scores = annotations.looks.scores(score_key(FINDINGS.name, "entropy"), model_version=version)
    assert sorted(scores) == ["r0", "r1"]
    assert all(0 < value <= 1 for value in scores.values())
    assert set(annotations.looks.newest(FINDINGS.name).looks["r0"].presence) == set(FINDINGS.labels.names)


def test_a_task_that_looks_at_the_lungs_is_scored_on_them(job_of, annotations, settings, tmp_path):
    spec, models = dataclasses.replace(FINDINGS, roi="lungs"), ModelStore(settings.models_dir)
    image, folder = draw(3, nodule=True, mass=False), tmp_path / "radiographs"
    folder.mkdir()
    write_image(folder / "r0.nii.gz", image)
    add_anatomy(models, seed=0)
    version = add_version(settings, 0, spec=spec)
    job_of(score, spec=spec, store=open_store(str(folder), settings=settings))(images=ALL)
    kept = annotations.looks.newest(spec.name).looks["r0"].embedding
    np.testing.assert_allclose(kept, looking_with(models, spec, version, device="cpu")(image).embedding, atol=1e-5)
    whole = dataclasses.replace(spec, roi="image")
    add_version(settings, 0, spec=whole)
    assert not np.allclose(kept, looking_with(models, whole, "v2", device="cpu")(image).embedding, atol=1e-3)


def test_a_task_that_must_be_told_where_to_look_is_not_scored():
    with pytest.raises(InvalidInputError, match="must be told where to look"):
        score.check(find_tasks().get("nodule_malignancy"), {"images": ALL})
