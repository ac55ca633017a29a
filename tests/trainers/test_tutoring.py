"""Images without labels are learned from where the teacher is sure, and a training with them can be gone on with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.trainers.loss import own
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train
from carina.trainers.tutoring import Tutor

from .conftest import unlabelled


@pytest.fixture
def tutor(spec):
    options = dataclasses.replace(spec.trainer, unlabelled_weight=2.0, max_epochs=1, steps_per_epoch=10)
    network = nn.Conv3d(1, 3, 1)
    return Tutor(network, spec=spec, options=options, sampler=None, device=torch.device("cpu")), network


def logits_of(*rows):
    """`(1, 3, voxels, 1, 1)` from one row of probabilities per voxel."""
    return torch.tensor(rows).log().T[None, :, :, None, None]


def test_the_distance_is_weighted_by_how_sure_the_teacher_is(tutor):
    said = np.array([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3]])
    taught = torch.tensor(said, dtype=torch.float32).T[None, :, :, None, None]
    meant = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])

    loss = tutor[0].loss(logits_of(*meant.tolist()), taught, done=4, total=own)

    certainty = 1 + (said * np.log(said)).sum(axis=1) / np.log(3)
    apart = ((said - meant) ** 2).sum(axis=1)
    assert loss.item() == pytest.approx(2.0 * (certainty * apart).sum() / certainty.sum(), rel=1e-4)


def test_a_label_of_few_voxels_counts_by_the_square_root_of_their_number(tutor):
    rows = [[0.98, 0.01, 0.01]] * 16 + [[0.01, 0.98, 0.01]]
    taught = torch.tensor(rows).T[None, :, :, None, None]
    only_the_few = logits_of(*rows[:16], [1 / 3, 1 / 3, 1 / 3])
    only_one_of_the_many = logits_of([1 / 3, 1 / 3, 1 / 3], *rows[1:])
    few, many = (tutor[0].loss(one, taught, done=4, total=own).item() for one in (only_the_few, only_one_of_the_many))
    assert few == pytest.approx(4 * many, rel=1e-3)


def test_the_term_grows_over_the_first_part_of_the_training(tutor):
    taught = torch.tensor([[0.9, 0.05, 0.05]]).T[None, :, :, None, None]
    losses = [tutor[0].loss(logits_of([0.4, 0.3, 0.3]), taught, done=done, total=own).item() for done in (0, 2, 4, 9)]
    assert losses[0] < 0.01 * losses[2]
    assert losses[1] < losses[2] == losses[3]


def test_the_teacher_follows_the_network_and_gets_no_gradient(tutor):
    teacher, network = tutor
    image = torch.ones(1, 1, 2, 2, 2)
    before = teacher.teach(image)
    nn.init.constant_(network.weight, 3.0)
    assert torch.equal(teacher.teach(image), before)
    for steps in range(400):
        teacher.follow(steps)
    torch.testing.assert_close(teacher.teach(image), network(image).softmax(dim=1).detach(), rtol=0.1, atol=0.1)
    assert not teacher.teach(image).requires_grad


def test_a_training_with_a_pool_is_recorded_and_gone_on_with_exactly(tmp_path, spec, toy_case):
    options = dataclasses.replace(spec.trainer, unlabelled_weight=1.0, max_epochs=2, steps_per_epoch=2)

    class Died(BaseException):
        pass

    def run(home, on_step=lambda step: None):
        models = ModelStore(tmp_path / home / "models")
        return train(
            [toy_case(seed) for seed in range(3)],
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            predict=predict,
            work_dir=tmp_path / home / "work",
            device="cpu",
            options=options,
            pool=[unlabelled(7), unlabelled(8)],
            on_step=on_step,
            checkpoint_every_s=0.0,
        )

    def die(step):
        if (step.epoch, step.step) == (2, 2):
            raise Died

    whole = run("whole")
    with pytest.raises(Died):
        run("cut", die)
    assert run("cut").version.sha256 == whole.version.sha256
    assert [row["image_id"] for row in whole.version.data["unlabelled"]] == ["pool7", "pool8"]
