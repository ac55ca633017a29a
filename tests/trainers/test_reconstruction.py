"""A network is judged by what is hidden alone, and its last layer forgets what it did."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from carina.task import NetworkSpec
from carina.trainers.reconstruction import HiddenError, Reconstructing, reconstructing


def test_only_hidden_voxels_count():
    truth = torch.zeros(1, 2, 2, 2, 2)
    truth[:, 1, 0] = 1.0
    guess = torch.full((1, 1, 2, 2, 2), 5.0)
    guess[:, :, 0] = 0.25
    assert HiddenError()(guess, truth, truth).item() == pytest.approx(0.25)


def forgotten(network: Reconstructing) -> set[str]:
    """Which weights are what they were at first, after all have changed and the output was forgotten."""
    first = {name: value.clone() for name, value in network.network.state_dict().items()}
    with torch.no_grad():
        for one in network.parameters():
            one.add_(1.0)
    network.forget_output()
    return {name for name, value in network.network.state_dict().items() if torch.equal(value, first[name])}


def test_the_last_layer_begins_anew_and_no_other(spec):
    torch.manual_seed(0)
    network = reconstructing(spec)
    assert isinstance(network, Reconstructing)
    assert forgotten(network) == {"conv_final.2.conv.weight", "conv_final.2.conv.bias"}


def test_every_member_of_an_ensemble_fills_in_and_forgets(spec):
    network = reconstructing(dataclasses.replace(spec, network=dataclasses.replace(spec.network, members=2))).train()
    network(torch.ones(1, 1, 16, 16, 16)).sum().backward()
    assert all(one.grad is not None for one in network.parameters())
    assert forgotten(network) == {
        f"members.{member}.conv_final.2.conv.{part}" for member in (0, 1) for part in ("weight", "bias")
    }


@pytest.mark.parametrize(
    "network",
    [
        NetworkSpec(name="basic_unet_plus_plus", arguments={"level": 2, "features": (8, 8, 8, 8, 8, 8)}),
        NetworkSpec(name="segresnet_ds", arguments={"init_filters": 8, "blocks_down": (1, 1, 1), "dsdepth": 2}),
    ],
    ids=lambda network: network.name,
)
def test_what_processes_wait_for_is_what_has_a_part_in_it(spec, network):
    """Heads of coarser levels say nothing of what is hidden: a gradient of theirs would never come."""
    made = reconstructing(dataclasses.replace(spec, network=network)).train()
    made(torch.zeros(1, 1, 16, 16, 16)).sum().backward()
    assert all((one.grad is not None) == one.requires_grad for one in made.parameters())
    assert not all(one.requires_grad for one in made.parameters())
