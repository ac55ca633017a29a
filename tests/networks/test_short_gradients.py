"""Gradients in bfloat16 on a CPU are used where they are right, which is tried with the networks of the catalogue."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from carina.networks.devices import short_numbers, short_type
from carina.networks.factory import build_network
from carina.networks.short_gradients import normalise_in_full, right_in_bfloat16
from carina.registry import find_tasks
from tests.infers.builder import task

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv3d(4, 4, 3, stride=2, padding=1), (1, 4, 2, 4, 4)),  # comes to one place along an axis
        (nn.Conv3d(4, 4, 3, stride=2, padding=1), (1, 4, 6, 6, 1)),
        (nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1), (1, 4, 5, 1)),
        (nn.Conv3d(4, 4, 3, padding=1, groups=4), (1, 4, 6, 6, 6)),
    ],
)
def test_what_onednn_gets_wrong_is_not_trusted(layer, shape):
    assert not right_in_bfloat16(layer, torch.ones(shape))


def test_a_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Dropout()).train()
    before = copy.deepcopy(network.state_dict())
    assert right_in_bfloat16(network, torch.ones(3, 1, 8, 8))
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in network.modules())


def test_normalisation_has_32_bits_in_training_and_16_in_drafts():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8))
    normalise_in_full(network)
    seen = []
    for layer in list(network)[1:]:
        layer.register_forward_hook(lambda _layer, given, _scores: seen.append(given[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network.train()(torch.ones(1, 1, 8, 8))
        network.eval()(torch.ones(1, 1, 8, 8))
    assert seen == [torch.float32, torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.skipif(short_type(CPU) is None, reason="16 bits are not used on this processor")
@pytest.mark.parametrize("name", ["thorax_ct", "cxr_anatomy", "wholebody_ct"])
def test_gradients_of_every_network_that_is_trusted_are_nearly_those_of_32_bits(name):
    spec = find_tasks().get(name)
    torch.manual_seed(0)
    network = build_network(spec).train()
    side = 32 if spec.dimension == 3 else 64
    image = torch.randn(2, 1, *(side,) * spec.dimension)
    assert right_in_bfloat16(network, image)

    def gradients(allowed):
        torch.manual_seed(0)  # the same places drop out
        network.zero_grad(set_to_none=True)
        with short_numbers(CPU, allowed=allowed):
            scores = network(image)
        (scores.float().sigmoid() - 0.7).square().mean().backward()
        return torch.cat([one.grad.flatten() for one in network.parameters()])

    full, short = gradients(False), gradients(True)
    assert not torch.equal(full, short)
    assert torch.nn.functional.cosine_similarity(full, short, dim=0) > 0.98
    assert 0.9 < short.norm() / full.norm() < 1.1


@pytest.mark.parametrize("name", ["cxr_covid19", "nodule_malignancy"])
def test_batches_are_normalised_in_32_bits(name):
    spec = find_tasks().get(name)
    assert not right_in_bfloat16(build_network(spec), torch.zeros(1, 1, *(64,) * spec.dimension))


def test_a_patch_that_comes_down_to_one_place_trains_in_32_bits():
    spec = task()
    assert not right_in_bfloat16(build_network(spec), torch.zeros(1, 1, 16, 16, 4))
