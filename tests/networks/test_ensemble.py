"""Several networks as one: each is taught by itself, and their mean answers, or one alone where it must be quick."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from carina.errors import ConfigurationError
from carina.networks.ensemble import averaged, members_of
from carina.networks.factory import answering_quickly, build_network, feature_layer
from carina.task import NetworkSpec
from carina.trainers.layer_rates import parameter_groups
from carina.trainers.loss import silence_unknown
from tests.infers.builder import task

IMAGE = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def spec():
    return task(network=NetworkSpec(name="light_unet", arguments={"channels": (8, 8), "strides": (2,)}, members=3))


def test_the_answer_is_the_mean_of_members_that_differ(spec):
    network = build_network(spec).eval()
    members = members_of(network)
    assert len(members) == 3
    said = torch.stack([member(IMAGE) for member in members])
    assert (said[0] - said[1]).abs().max() > 1e-3
    torch.testing.assert_close(network(IMAGE), said.mean(dim=0))


def test_in_training_every_member_gives_its_own_scores(spec):
    network = build_network(spec).train()
    torch.testing.assert_close(network(IMAGE), [member(IMAGE) for member in members_of(network)])


def test_a_quick_answer_is_that_of_the_first_alone_and_the_next_is_whole_again(spec):
    network = build_network(spec).eval()
    whole = network(IMAGE)
    with answering_quickly(network, spec):
        torch.testing.assert_close(network(IMAGE), members_of(network)[0](IMAGE))
    torch.testing.assert_close(network(IMAGE), whole)


@pytest.mark.parametrize("kind", ["segmentation", "deepedit"])
def test_features_are_those_of_the_first(spec, kind):
    spec = dataclasses.replace(spec, kind=kind)
    network, seen = build_network(spec).eval(), []
    feature_layer(network, spec).register_forward_hook(lambda *_: seen.append(1))
    network(IMAGE)
    assert seen == [1]


def test_levels_of_several_members_come_finest_first():
    class Levels(torch.nn.Module):
        def forward(self, image):
            return [image, image[..., ::2]] if self.training else image

    given = averaged([Levels(), Levels()]).train()(IMAGE)
    assert [one.shape[-1] for one in given] == [8, 8, 4, 4]


def test_the_same_layers_of_all_members_learn_at_the_same_rate(spec):
    alone = dataclasses.replace(spec, network=dataclasses.replace(spec.network, members=1))
    one, three = (parameter_groups(build_network(which), decay=0.1) for which in (alone, spec))
    assert [group["share"] for group in three] == [group["share"] for group in one]
    assert [len(group["params"]) for group in three] == [3 * len(group["params"]) for group in one]


def test_labels_that_nothing_teaches_are_silent_in_every_member_of_a_network_of_clicks(spec):
    network = build_network(dataclasses.replace(spec, kind="deepedit")).eval()
    silence_unknown(network, known=torch.tensor([True, True, True, False]))
    assert all(member(IMAGE)[:, 3].max() < member(IMAGE)[:, :3].min() for member in members_of(network))


def test_a_task_without_any_member_is_refused():
    with pytest.raises(ConfigurationError, match="must have 1 or more members, got 0"):
        NetworkSpec(name="light_unet", members=0)
