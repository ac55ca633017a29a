"""A place's score depends on what is there, and an image's logit on its highest places."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from carina.networks.factory import build_network, feature_axis
from carina.registry import find_tasks
from carina.task import NetworkSpec

SPEC = dataclasses.replace(
    find_tasks().get("cxr_findings"), network=NetworkSpec(name="local_cnn", arguments={"filters": (8, 16)})
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(SPEC).eval()


def scores(network, image):
    with torch.inference_mode():
        return network.scores(network.features(image))


def test_what_is_far_away_changes_no_score(network):
    """Normalised within an image it would, and an image with a finding would stand out no more than one without."""
    image = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    other = image.clone()
    other[..., 48:, 48:] += 5
    near, far = (scores(network, one) for one in (image, other))
    torch.testing.assert_close(near[..., :8, :8], far[..., :8, :8])
    assert not torch.allclose(near[..., 12:, 12:], far[..., 12:, 12:])


def test_one_high_place_among_many_is_heard_more_than_in_a_mean(network):
    class Places(nn.Module):
        def forward(self, image):
            return image.expand(-1, len(SPEC.labels), -1, -1)

    network.features, network.scores = nn.Identity(), Places()
    image = torch.zeros(1, 1, 16, 16)
    image[..., 3, 4] = 4.0
    with torch.inference_mode():
        logit = network(image)
    assert logit.shape == (1, len(SPEC.labels))
    assert float(logit[0, 0]) == pytest.approx(
        float(torch.logsumexp(5 * image.flatten(), 0) - torch.tensor(256.0).log()) / 5
    )
    assert float(logit[0, 0]) > 100 * float(image.mean())


def test_places_are_said_to_lie_in_the_middle_of_what_they_see(network):
    """A heat map that thinks otherwise is shifted by half a place, which is beside a small finding."""
    image = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    places = network.features(image)
    (gradient,) = torch.autograd.grad(places[0, :, 7, 9].sum(), image)
    first, step = feature_axis(SPEC, places=places.shape[2], size=64)
    for axis, place in enumerate((7, 9)):
        seen = torch.nonzero(gradient[0, 0].abs().sum(dim=1 - axis))
        assert float(seen.min() + seen.max()) / 2 == first + step * place
