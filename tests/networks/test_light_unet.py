"""The light U-Net gives scores at full resolution from features at half of it."""

from __future__ import annotations

import pytest
import torch

from carina.networks.factory import build_network, size_multiple
from carina.task import NetworkSpec
from tests.infers.builder import task


@pytest.mark.parametrize(
    ("channels", "strides"), [((16, 32), (2,)), ((8, 16, 32), (2, 2)), ((8, 16, 32, 64), (2, 2, 2))]
)
def test_smallest_volume_passes_in_training_and_inference(channels, strides):
    spec = task(network=NetworkSpec(name="light_unet", arguments={"channels": channels, "strides": strides}))
    side = size_multiple(spec)
    assert side == 2 ** len(strides)
    network = build_network(spec)
    for training in (True, False):
        network.train(training)
        assert network(torch.zeros(1, 1, side, side, side)).shape == (1, spec.out_channels, side, side, side)


def test_no_convolution_works_at_full_resolution():
    spec = task(network=NetworkSpec(name="light_unet"))
    sizes = []
    network = build_network(spec)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(lambda _module, _given, result: sizes.append(result.shape[2]))
    network(torch.zeros(1, 1, 16, 16, 16))
    assert sizes
    assert max(sizes) == 8
