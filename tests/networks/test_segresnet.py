"""The whole-body network is the public bundle's, parameter for parameter."""

from __future__ import annotations

import pytest
from monai.networks.nets import SegResNet

from carina.networks.factory import build_network, size_multiple
from carina.registry import find_tasks
from carina.task import NetworkSpec
from tests.infers.builder import task


@pytest.mark.slow
def test_whole_body_network_has_the_public_bundles_parameters():
    # Arguments of `network_def` in wholeBody_ct_segmentation 0.2.5, configs/inference.json.
    bundle = SegResNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=105,
        init_filters=32,
        blocks_down=[1, 2, 2, 4],
        blocks_up=[1, 1, 1],
        dropout_prob=0.2,
    )
    expected = {name: tuple(value.shape) for name, value in bundle.state_dict().items()}
    ours = build_network(find_tasks().get("wholebody_ct")).state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == expected


@pytest.mark.parametrize(("blocks_down", "multiple"), [((1, 1), 2), ((1, 1, 1), 4), ((1, 2, 2, 4), 8)])
def test_size_multiple_follows_the_depth(blocks_down, multiple):
    arguments = {"init_filters": 8, "blocks_down": blocks_down, "blocks_up": (1,) * (len(blocks_down) - 1)}
    assert size_multiple(task(network=NetworkSpec(name="segresnet", arguments=arguments))) == multiple
