"""Networks learn to fill in what is hidden of images, and trainings start from them as from random weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from carina.errors import CancelledError, ConflictError, InvalidInputError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.models.weights import load_state
from carina.registry import find_tasks
from carina.trainers.pretraining import pretrain
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

from .conftest import unlabelled


def pool(count: int):
    return [unlabelled(number, patient_id=f"p{number}") for number in range(count)]


@pytest.fixture
def home(tmp_path, spec):
    """Pretrain in one home, a few steps."""
    models = ModelStore(tmp_path / "models")
    options = dataclasses.replace(spec.trainer, max_epochs=2, steps_per_epoch=8, batch_size=2)

    def run(images, *, steps=8, **given):
        return pretrain(
            images,
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            work_dir=tmp_path / "work",
            options=dataclasses.replace(options, steps_per_epoch=steps),
            device="cpu",
            **given,
        )

    return models, run


def test_a_pretrained_version_is_never_served_and_a_training_starts_from_it_by_name(home, spec, toy_case, tmp_path):
    models, run = home
    told = []

    made = run(pool(5), progress=lambda fraction, text: told.append(fraction))

    assert (made.version.version, made.version.source, made.images, made.epochs) == ("v1", "pretrained", 4, 2)
    assert [row["image_id"] for row in made.version.data["unlabelled"]] == [f"pool{n}" for n in range(5)]
    assert told == sorted(told)
    with pytest.raises(ConflictError, match="got one that was pretrained"):
        models.promote(spec.name, "v1", reason="test")

    result = train(
        [toy_case(seed) for seed in range(3)],
        spec=spec,
        models=models,
        splits=FileSplitStore(models.root),
        predict=predict,
        work_dir=tmp_path / "train",
        device="cpu",
        options=dataclasses.replace(spec.trainer, max_epochs=1, steps_per_epoch=1, learning_rate=1e-9),
        start_from="v1",
    )
    assert result.version.parent == "v1"
    before, after = load_state(made.version.weights_path), load_state(result.version.weights_path)
    np.testing.assert_allclose(after["convInit.conv.weight"], before["convInit.conv.weight"], atol=1e-6)


def test_it_fills_in_more_than_the_mean_and_goes_on_after_it_was_stopped(home, tmp_path):
    _, run = home
    with pytest.raises(CancelledError):
        run(pool(4), steps=30, cancelled=(tmp_path / "work" / "checkpoint.safetensors").exists, checkpoint_every_s=0.0)
    told = []
    made = run(pool(4), steps=30, progress=lambda fraction, text: told.append(text))
    assert len([text for text in told if text.startswith("epoch")]) < 60
    assert made.filled > 0.0
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


def test_images_of_patients_that_are_measured_on_are_left_out(home, spec):
    models, run = home
    FileSplitStore(models.root).put(spec.name, {"p0": "holdout", "p1": "validation"})
    with pytest.raises(InvalidInputError, match="two images or more of patients that are not measured on, got 1"):
        run(pool(3))


def test_only_tasks_that_draw_are_pretrained(tmp_path):
    spec = find_tasks().get("cxr_findings")
    models = ModelStore(tmp_path)
    with pytest.raises(InvalidInputError, match="must be a segmentation, got 'cxr_findings'"):
        pretrain(pool(2), spec=spec, models=models, splits=FileSplitStore(tmp_path), work_dir=tmp_path / "work")
