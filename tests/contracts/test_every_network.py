"""What every registered network must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from carina.infers.sliding_window import predict
from carina.networks.factory import bottleneck_of, build_network, find_networks, size_multiple
from carina.preprocessing import prepare
from carina.task import NetworkSpec
from tests.infers.builder import noise_volume, task

SMALL = {
    "segresnet": {"init_filters": 8, "blocks_down": (1, 1, 1), "blocks_up": (1, 1)},
    "subpixel_unet": {"filters": (8, 8, 8)},
    "unet": {"filters": (8, 8, 8, 8)},
}


@pytest.fixture(params=find_networks().names)
def spec(request):
    return task(network=NetworkSpec(name=request.param, arguments=SMALL.get(request.param, {})))


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
    network(torch.randn(1, 1, 2 * side, 2 * side, 2 * side)).square().mean().backward()
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


def test_a_declared_bottleneck_gives_features_of_the_image(spec):
    """`light_unet` and the others of the catalogue declare one; a third party's need not."""
    network, side, seen = build_network(spec).eval(), 2 * size_multiple(spec), []
    layer = bottleneck_of(network, spec)
    if layer is None:
        pytest.skip("declares no bottleneck")
    layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    with torch.inference_mode():
        network(torch.randn(1, 1, side, side, side))
    assert len(seen) == 1
    assert seen[0].ndim == 5
    assert max(seen[0].shape[2:]) <= side // 2
