"""A symmetric task is asked about a window and its mirror, and says the same of both."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from carina.infers.scores import scores_of
from carina.structures import label_set

from .builder import task

NAMES = ("lung_left", "lung_right", "airways")


@pytest.fixture(params=[True, False], ids=["overlapping", "exclusive"])
def spec(request):
    return task(dimension=2, labels=label_set(*NAMES, overlapping=request.param), symmetric=True)


@pytest.fixture
def network(spec):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(1, spec.out_channels, 3, padding=1).eval()


def test_a_mirrored_window_has_mirrored_scores_with_the_sides_exchanged(spec, network):
    window = torch.randn(2, 1, 12, 10, 1, generator=torch.Generator().manual_seed(1))
    straight = scores_of(network, window, spec=spec)
    mirrored = scores_of(network, window.flip(2), spec=spec).flip(2)
    left, right = (spec.out_channels - 3 + position for position in (0, 1))
    torch.testing.assert_close(mirrored[:, left], straight[:, right])
    torch.testing.assert_close(mirrored[:, right], straight[:, left])
    torch.testing.assert_close(mirrored[:, -1], straight[:, -1])
    if not spec.labels.overlapping:
        torch.testing.assert_close(mirrored[:, 0], straight[:, 0])


def test_the_scores_are_the_mean_of_both_answers(spec, network):
    window = torch.randn(1, 1, 8, 6, 1, generator=torch.Generator().manual_seed(2))
    answer = network(window[..., 0])[:, -1]
    other = network(window[..., 0].flip(2)).flip(2)[:, -1]
    torch.testing.assert_close(scores_of(network, window, spec=spec)[:, -1, ..., 0], (answer + other) / 2)
