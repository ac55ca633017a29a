"""Networks learn to fill in what is hidden of images, and trainings start from them as from random weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.errors import CancelledError, ConflictError, InvalidInputError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.models.weights import load_state
from carina.registry import find_tasks
from carina.trainers.cases import without_label
from carina.trainers.hiding import Hiding
from carina.trainers.pretraining import pretrain
from carina.trainers.reconstruction import HiddenError, Reconstructing, reconstructing
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

from .conftest import draw_toy


def hide(image, spec, seed=0, **hiding):
    random = torch.Generator().manual_seed(seed)
    return Hiding(**hiding)(image, torch.zeros_like(image), spec=spec, random=random, strength=0.0)


def test_whole_blocks_are_hidden_and_filled_with_the_mean_of_what_is_visible(spec):
    image = torch.rand(3, 1, 12, 10, 9, generator=torch.Generator().manual_seed(1))
    shown, truth = hide(image, spec, share=0.5, block_voxels=4)
    hidden = truth[:, 1:] > 0
    assert torch.equal(truth[:, :1], image)
    assert torch.equal(shown[~hidden], image[~hidden])
    for one in range(3):
        filled = shown[one][hidden[one]]
        expected = image[one][~hidden[one]].mean()
        torch.testing.assert_close(filled, expected.expand_as(filled))
    blocks = hidden[:, :, :12, :8, :8].reshape(3, 3, 4, 2, 4, 2, 4).float().mean(dim=(2, 4, 6))
    assert set(blocks.flatten().tolist()) == {0.0, 1.0}


def test_as_much_is_hidden_as_was_asked_for_and_something_always_is(spec):
    image = torch.zeros(4, 1, 64, 64, 64)
    assert hide(image, spec, share=0.6, block_voxels=8)[1][:, 1].mean().item() == pytest.approx(0.6, abs=0.05)
    none = hide(image, spec, share=0.0, block_voxels=32)[1][:, 1]
    assert none.flatten(1).mean(dim=1).tolist() == [0.125] * 4


def test_only_hidden_voxels_count():
    truth = torch.zeros(1, 2, 2, 2, 2)
    truth[:, 1, 0] = 1.0
    guess = torch.full((1, 1, 2, 2, 2), 5.0)
    guess[:, :, 0] = 0.25
    assert HiddenError()(guess, truth, truth).item() == pytest.approx(0.25)


def test_the_last_layer_begins_anew_and_no_other(spec):
    torch.manual_seed(0)
    network = reconstructing(spec)
    assert isinstance(network, Reconstructing)
    first = {name: value.clone() for name, value in network.network.state_dict().items()}
    with torch.no_grad():
        for one in network.parameters():
            one.add_(1.0)
    network.forget_output()
    same = {name for name, value in network.network.state_dict().items() if torch.equal(value, first[name])}
    assert same == {"conv_final.2.conv.weight", "conv_final.2.conv.bias"}


def pool(count: int):
    return [
        without_label(image_id=f"pool{n}", patient_id=f"p{n}", revision="1", load=lambda n=n: draw_toy(n)[0])
        for n in range(count)
    ]


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
