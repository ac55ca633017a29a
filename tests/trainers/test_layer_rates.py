"""Rates rise from the first layer to the last, and an optimiser takes each layer's own."""

from __future__ import annotations

import pytest
from torch import nn

from carina.trainers.layer_rates import parameter_groups


def test_the_last_layer_takes_all_of_the_rate_the_first_its_share_and_those_between_rise_by_one_factor():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    groups = parameter_groups(network, decay=0.25)
    assert [group["share"] for group in groups] == [pytest.approx(share) for share in (0.25, 0.5, 1.0)]
    assert [id(one) for group in groups for one in group["params"]] == [id(one) for one in network.parameters()]


def test_a_layer_that_occurs_twice_counts_once():
    shared = nn.Linear(2, 2)
    groups = parameter_groups(nn.Sequential(shared, nn.Linear(2, 2), shared), decay=0.1)
    assert [len(group["params"]) for group in groups] == [2, 2]


def test_one_layer_takes_all_of_the_rate():
    assert [group["share"] for group in parameter_groups(nn.Linear(2, 2), decay=0.1)] == [1.0]


def test_without_decay_all_parameters_are_one_group():
    (group,) = parameter_groups(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), decay=1.0)
    assert (len(group["params"]), group["share"]) == (4, 1.0)
