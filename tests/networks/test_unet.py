"""The U-Net takes the smallest volumes its strides allow."""

from __future__ import annotations

import pytest
import torch

from carina.networks.factory import build_network, size_multiple
from carina.task import NetworkSpec
from tests.infers.builder import task


@pytest.mark.parametrize("filters", [(8, 16, 32), (8, 16, 32, 64)])
def test_smallest_volume_passes_in_training_and_inference(filters):
    spec = task(network=NetworkSpec(name="unet", arguments={"filters": filters}))
    side = size_multiple(spec)
    assert side == 2 ** (len(filters) - 1)
    network = build_network(spec)
    for training in (True, False):
        network.train(training)
        assert network(torch.zeros(1, 1, side, side, side)).shape == (1, 4, side, side, side)
