"""The climb goes to the worst point nearby and back, whatever the scale of the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from carina.trainers.sharpness import Climb


def parameters(*gradients):
    found = []
    for gradient in gradients:
        one = nn.Parameter(torch.ones(len(gradient)))
        one.grad = torch.tensor(gradient)
        found.append(one)
    return found


@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_it_goes_along_the_gradient_of_all_parameters_together_by_the_radius(scale):
    some = parameters([3.0 * scale, 0.0], [4.0 * scale])
    Climb(some, radius=0.5)
    moved = np.concatenate([(one.detach() - 1).numpy() for one in some])
    np.testing.assert_allclose(moved, [0.3, 0.0, 0.4], atol=1e-6)


def test_it_comes_back_bit_by_bit():
    some = parameters([0.3, -0.7], [1e-9])
    before = [one.detach().clone() for one in some]
    Climb(some, radius=0.05).back()
    assert all(torch.equal(one, then) for one, then in zip(some, before, strict=True))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0])
def test_gradients_without_a_direction_move_nothing(value):
    some = parameters([value, 0.0])
    Climb(some, radius=0.5)
    assert some[0].tolist() == [1.0, 1.0]


def test_parameters_without_a_gradient_stay():
    idle = nn.Parameter(torch.ones(2))
    Climb([idle, *parameters([1.0])], radius=0.5).back()
    assert idle.tolist() == [1.0, 1.0]
