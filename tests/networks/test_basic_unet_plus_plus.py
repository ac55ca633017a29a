"""U-Net++ answers with the mean of MONAI's heads, and at a lower level with that of fewer, from the same weights."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

from carina.errors import ConfigurationError
from carina.networks.factory import answering_quickly, build_network, size_multiple
from carina.task import NetworkSpec
from tests.infers.builder import task

FEATURES = (8, 8, 8, 16, 16, 8)
NORM = ("group", {"num_groups": 8})


def spec(**more):
    return task(network=NetworkSpec(name="basic_unet_plus_plus", arguments={"features": FEATURES, **more}))


@pytest.fixture(scope="module")
def image():
    return torch.randn(1, 1, 16, 16, 32, generator=torch.Generator().manual_seed(0))


def test_the_answer_is_the_mean_of_the_heads_and_the_quick_one_that_of_two(image):
    network = build_network(spec()).eval()
    reference = BasicUNetPlusPlus(
        in_channels=1, out_channels=spec().out_channels, features=FEATURES, norm=NORM, deep_supervision=True
    ).eval()
    reference.load_state_dict(network.state_dict())
    with torch.inference_mode():
        heads = reference(image)
        whole = network(image)
        with answering_quickly(network, spec()):
            quick = network(image)
        again = network(image)
        taught = network.train()(image)
    torch.testing.assert_close(whole, torch.stack(heads).mean(dim=0))
    torch.testing.assert_close(quick, torch.stack(heads[:2]).mean(dim=0))
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(taught, heads[::-1])


def test_a_lower_level_has_only_the_weights_it_needs_and_takes_smaller_images():
    deep, flat = build_network(spec()), build_network(spec(level=2))
    assert set(flat.state_dict()) < set(deep.state_dict())
    assert (size_multiple(spec()), size_multiple(spec(level=2))) == (16, 4)
    with pytest.raises(ConfigurationError, match="from 1 to 4, got 5"):
        build_network(spec(level=5))


def test_a_network_that_cannot_be_pruned_answers_as_ever(image):
    other = task(network=NetworkSpec(name="segresnet", arguments={"init_filters": 8}))
    network = build_network(other).eval()
    with torch.inference_mode(), answering_quickly(network, other):
        quick = network(image)
    with torch.inference_mode():
        torch.testing.assert_close(quick, network(image))
