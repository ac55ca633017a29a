"""Networks are found by name, lazily."""

from __future__ import annotations

import subprocess
import sys

import pytest

from carina.errors import UnknownNameError
from carina.networks.factory import build_network, find_networks, size_multiple
from carina.registry import find_tasks
from carina.task import NetworkSpec
from tests.infers.builder import task


def test_listing_tasks_and_networks_imports_neither_torch_nor_monai():
    code = (
        "import sys\n"
        "from carina.networks.factory import find_networks\n"
        "from carina.registry import find_tasks\n"
        "assert len(find_networks()) >= 2 and len(find_tasks()) >= 2\n"
        "assert not {'torch', 'monai'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_network_is_refused_with_the_closest():
    spec = task(network=NetworkSpec(name="segresnett"))
    with pytest.raises(UnknownNameError, match="Did you mean 'segresnet'"):
        build_network(spec)
    with pytest.raises(UnknownNameError):
        size_multiple(spec)


def test_registered_names():
    assert {"segresnet", "unet"} <= set(find_networks().names)


def test_thorax_network_is_small():
    network = build_network(find_tasks().get("thorax_ct"))
    assert sum(parameter.numel() for parameter in network.parameters()) < 3_000_000
