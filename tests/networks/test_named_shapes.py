"""Networks called by a published name have the published shape."""

from __future__ import annotations

import dataclasses

import pytest
from monai.networks.nets.densenet import DenseNet201
from monai.networks.nets.mednext import create_mednext
from monai.networks.nets.resnet import resnet10, resnet18, resnet50

from carina.errors import ConfigurationError
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.task import NetworkSpec
from tests.infers.builder import task


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def findings_task(name, **arguments):
    return dataclasses.replace(
        find_tasks().get("cxr_covid19"), dimension=3, network=NetworkSpec(name=name, arguments=arguments)
    )


@pytest.mark.parametrize(
    ("depth", "published"),
    [
        (10, lambda: resnet10(n_input_channels=1, num_classes=1, shortcut_type="B", bias_downsample=False)),
        (18, lambda: resnet18(n_input_channels=1, num_classes=1, shortcut_type="A", bias_downsample=True)),
        (50, lambda: resnet50(n_input_channels=1, num_classes=1, shortcut_type="B", bias_downsample=False)),
    ],
)
def test_a_resnet_of_each_depth_takes_medicalnet_s_weights(depth, published):
    assert shapes(build_network(findings_task("resnet", depth=depth))) == shapes(published())


def test_a_depth_that_nobody_published_is_refused():
    with pytest.raises(ConfigurationError, match="10, 18, 34, 50"):
        build_network(findings_task("resnet", depth=11))


def test_mednext_is_the_paper_s_small_one():
    spec = task(network=NetworkSpec(name="mednext"))
    assert shapes(build_network(spec)) == shapes(create_mednext("S", out_channels=spec.out_channels))


def test_densenet201_has_201_layers_of_the_paper():
    published = DenseNet201(spatial_dims=3, in_channels=1, out_channels=1)
    assert shapes(build_network(findings_task("densenet201"))) == shapes(published)
