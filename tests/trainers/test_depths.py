"""Networks with scores at several levels are taught at each, and others exactly as before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.networks.asking import outputs_of
from carina.networks.factory import build_network
from carina.task import NetworkSpec
from carina.trainers.cache import VolumeCache
from carina.trainers.depths import loss_at_depths
from carina.trainers.descent import Descent
from carina.trainers.loss import loss_of, own
from carina.trainers.patches import PatchSampler, annotated_channels
from carina.trainers.standing import Randomness


def mean(logits, label, annotated, *, total=own):
    return label.float().mean()


def test_each_level_has_half_the_weight_of_the_finer_one_and_sees_the_label_at_its_size():
    label = torch.zeros(1, 1, 4, 4, 4, dtype=torch.uint8)
    label[..., ::2, ::2, ::2] = 1
    outputs = [torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 3, 2, 2, 2)]
    found = loss_at_depths(mean, outputs, label, torch.ones(1, 3, dtype=torch.bool), total=own)
    assert found.item() == pytest.approx((1 / 8 + 0.5 * 1.0) / 1.5)


def test_one_level_has_the_loss_itself():
    label = torch.ones(2, 1, 4, 4)
    assert loss_at_depths(mean, outputs_of(torch.zeros(2, 3, 4, 4)), label, label, total=own).item() == 1.0


def test_scores_of_one_size_count_the_same():
    label = torch.zeros(1, 1, 4, 4)
    label[..., 0] = 1
    worth = iter([1.0, 3.0, 8.0])
    outputs = [torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 2)]
    found = loss_at_depths(lambda *_, total: torch.tensor(next(worth)), outputs, label, label, total=own)
    assert found.item() == pytest.approx((1.0 + 3.0 + 0.5 * 8.0) / 2.5)


def test_findings_of_whole_images_have_no_levels():
    label = torch.tensor([[1.0, 0.0]])
    assert loss_at_depths(mean, [torch.zeros(1, 2)], label, label, total=own).item() == 0.5


@pytest.fixture
def deep(spec):
    arguments = {"init_filters": 8, "blocks_down": (1, 1, 1), "dsdepth": 2}
    return dataclasses.replace(spec, network=NetworkSpec(name="segresnet_ds", arguments=arguments))


def test_a_step_teaches_every_level_of_a_network_that_has_several(deep, toy_case, tmp_path):
    volume = VolumeCache(tmp_path, deep).get(toy_case(0))
    annotated = annotated_channels(volume, deep)
    torch.manual_seed(0)
    network = build_network(deep)
    descent = Descent(
        network=network,
        spec=deep,
        options=deep.trainer,
        sampler=PatchSampler([volume], spec=deep, patch_voxels=(8, 8, 8)),
        loss=loss_of(deep, present=annotated, known=annotated),
        device=torch.device("cpu"),
    )
    descent.begin()
    losses = [descent.step(2, done=done, random=Randomness(0, 1)) for done in range(8)]
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    assert [tuple(one.shape[2:]) for one in outputs_of(network(torch.zeros(1, 1, 8, 8, 8)))] == [(8, 8, 8), (4, 4, 4)]
    assert network.eval()(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 3, 8, 8, 8)
