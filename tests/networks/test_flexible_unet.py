"""A U-Net on an encoder made for whole images learns with all of what it asks gradients for."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.task import NetworkSpec


@pytest.mark.parametrize("backbone", ["efficientnet-b0", "resnet10"])
def test_every_weight_that_asks_for_a_gradient_gets_one(backbone):
    network = NetworkSpec(name="flexible_unet", arguments={"backbone": backbone})
    made = build_network(dataclasses.replace(find_tasks().get("cxr_anatomy"), network=network)).train()
    made(torch.randn(2, 1, 64, 64)).sum().backward()
    assert [name for name, one in made.named_parameters() if one.requires_grad and one.grad is None] == []
