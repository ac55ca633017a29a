"""A task that looks at the lungs is trained on what it is shown when it is asked."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from carina.errors import ConfigurationError, NoModelError
from carina.images import write_image
from carina.infers.classification import ClassificationInfer
from carina.jobs.roi import on_roi
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from carina.registry import find_tasks
from tests.trainers.findings import SPEC, cases, draw

ON_LUNGS = dataclasses.replace(SPEC, roi="lungs")


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


def add_anatomy(models, *, seed):
    """Random weights, so biased that a fiftieth of an image is drawn."""
    spec = find_tasks().get("cxr_anatomy")
    torch.manual_seed(seed)
    network = build_network(spec).eval()
    with torch.inference_mode():
        logits = network(prepare(draw(3, nodule=True, mass=False), spec).tensor[None, ..., 0])
    with torch.no_grad():
        [*network.parameters()][-1].sub_(float(logits.flatten().quantile(0.98)))
    version = models.add(spec.name, network.state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    models.promote(spec.name, version.version, reason="test", by="test")


def test_training_and_inference_cut_out_the_same_lungs(models, tmp_path):
    add_anatomy(models, seed=0)
    (case,) = on_roi(cases()[3:4], ON_LUNGS, models, device="cpu")
    path = tmp_path / "image.nii.gz"
    write_image(path, draw(3, nodule=True, mass=False))

    learned = prepare(case.load(), ON_LUNGS)
    asked = ClassificationInfer(ON_LUNGS, models, device="cpu").prepared(path)

    assert learned.source.shape != draw(3, nodule=True, mass=False).grid.shape
    torch.testing.assert_close(learned.tensor, asked.tensor)


def test_another_anatomy_makes_other_cases(models):
    add_anatomy(models, seed=0)
    (before,) = on_roi(cases()[:1], ON_LUNGS, models, device="cpu")
    add_anatomy(models, seed=1)
    (after,) = on_roi(cases()[:1], ON_LUNGS, models, device="cpu")
    assert before.revision != after.revision
    assert before.findings == after.findings == cases()[0].findings


def test_without_an_anatomy_there_is_nothing_to_look_at(models):
    with pytest.raises(NoModelError, match="cxr_anatomy"):
        on_roi(cases()[:1], ON_LUNGS, models, device="cpu")


def test_tasks_of_whole_images_keep_their_cases_and_their_weights_are_no_others(models):
    made = cases()[:2]
    assert on_roi(made, SPEC, models, device="cpu") == made
    assert ON_LUNGS.fingerprint() != SPEC.fingerprint()


def test_only_a_task_of_radiographs_can_look_at_lungs():
    for name in ("cxr_anatomy", "nodule_malignancy"):
        with pytest.raises(ConfigurationError, match="looks at the lungs"):
            dataclasses.replace(find_tasks().get(name), roi="lungs")
