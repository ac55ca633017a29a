"""What every registered network must do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.errors import ConfigurationError
from carina.infers.sliding_window import predict
from carina.networks.asking import outputs_of
from carina.networks.factory import build_network, feature_layer, find_networks, size_multiple
from carina.preprocessing import prepare
from carina.registry import find_tasks
from carina.task import NetworkSpec
from tests.infers.builder import noise_volume, task

SMALL = {
    "basic_unet_plus_plus": {"features": (8, 8, 8, 8, 8, 8), "level": 3},
    "densenet201": {"init_features": 8, "growth_rate": 4, "block_config": (2, 2)},
    "flexible_unet": {"backbone": "resnet10", "decoder_channels": (16, 16, 8, 8, 8)},
    "mednext": {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1, 1), "blocks_bottleneck": 1},
    "resnet": {"block_inplanes": [8, 8, 16, 16]},
    "densenet": {"init_features": 8, "growth_rate": 4, "block_config": (2, 2)},
    "segresnet": {"init_filters": 8, "blocks_down": (1, 1, 1), "blocks_up": (1, 1)},
    "segresnet_ds": {"init_filters": 8, "blocks_down": (1, 1, 1)},
    "subpixel_unet": {"filters": (8, 8, 8)},
    "unet": {"filters": (8, 8, 8, 8)},
}


DRAWING = [factory.name for factory in find_networks() if factory.scores == "voxels"]
TELLING = [factory.name for factory in find_networks() if factory.scores == "images"]


def network_spec(name):
    return NetworkSpec(name=name, arguments=SMALL.get(name, {}))


@pytest.fixture(params=DRAWING)
def spec(request):
    return task(network=network_spec(request.param))


@pytest.fixture(params=TELLING)
def findings_spec(request):
    return dataclasses.replace(
        find_tasks().get("cxr_findings"), network=network_spec(request.param), matrix_voxels=(64, 96, 1)
    )


def test_gives_one_score_per_class_and_voxel(spec):
    side = 2 * size_multiple(spec)
    network = build_network(spec).eval()
    with torch.inference_mode():
        scores = network(torch.randn(2, 1, side, side, size_multiple(spec)))
    assert scores.shape == (2, spec.out_channels, side, side, size_multiple(spec))
    assert torch.isfinite(scores).all()


def test_learns_from_a_gradient_everywhere(spec):
    side = size_multiple(spec)
    network = build_network(spec).train()
    outputs = outputs_of(network(torch.randn(1, 1, 2 * side, 2 * side, 2 * side)))
    torch.stack([scores.square().mean() for scores in outputs]).sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize("shape", [(13, 21, 3), (1, 7, 30)])
def test_any_odd_grid_works_through_the_sliding_window(spec, shape):
    volume = noise_volume(shape)
    label = predict(build_network(spec), prepare(volume, spec), spec=spec, device="cpu")
    assert label.grid is volume.grid
    assert label.array.max() < spec.out_channels


def test_batch_does_not_change_the_answer(spec):
    side = 2 * size_multiple(spec)
    network = build_network(spec).eval()
    batch = torch.randn(2, 1, side, side, side)
    with torch.inference_mode():
        together, alone = network(batch)[1], network(batch[1:])[0]
    np.testing.assert_allclose(together.numpy(), alone.numpy(), atol=1e-4)


def test_a_declared_layer_gives_features_of_the_image(spec):
    """`light_unet` and the others of the catalogue declare one; a third party's need not."""
    network, side, seen = build_network(spec).eval(), 2 * size_multiple(spec), []
    layer = feature_layer(network, spec)
    if layer is None:
        pytest.skip("declares no layer")
    layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    with torch.inference_mode():
        network(torch.randn(1, 1, side, side, side))
    assert len(seen) == 1
    assert seen[0].ndim == 5
    assert max(seen[0].shape[2:]) <= side // 2


def test_gives_one_score_per_finding_and_image(findings_spec):
    network = build_network(findings_spec).eval()
    batch = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        together, alone = network(batch), network(batch[1:])
    assert together.shape == (2, len(findings_spec.labels))
    np.testing.assert_allclose(together[1].numpy(), alone[0].numpy(), atol=1e-4)


def test_last_features_are_a_map_of_the_image(findings_spec):
    network, seen = build_network(findings_spec).eval(), []
    feature_layer(network, findings_spec).register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(torch.randn(1, 1, 64, 96))
    (features,) = seen
    assert features.ndim == 4
    assert features.shape[2] > 1
    assert features.shape[3] > features.shape[2]


@pytest.mark.parametrize("name", TELLING)
def test_a_network_of_whole_images_is_refused_where_voxels_are_scored(name):
    with pytest.raises(ConfigurationError, match=name):
        build_network(task(network=network_spec(name)))
