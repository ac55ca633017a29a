"""A step as the options ask for it, against the same step written out."""

from __future__ import annotations

import copy
import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from carina.trainers.descent import Descent
from carina.trainers.patches import Batch
from carina.trainers.standing import Randomness

IMAGE = torch.tensor([1.0, -2.0, 0.5]).view(1, 1, 3, 1, 1)


class OneBatch:
    def draw(self, batch_size, *, random, part=slice(None)):
        return Batch(image=IMAGE, label=torch.zeros_like(IMAGE), annotated=torch.ones(1, 3, dtype=torch.bool))


def squares(logits, label, annotated, *, total=None):
    return logits.square().sum()


@pytest.fixture
def descend(spec):
    def run(done=0, loss=squares, **options):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv3d(2, 3, 1))
        trainer = dataclasses.replace(
            spec.trainer, augmentation=0.0, max_epochs=1, steps_per_epoch=1, weight_decay=1e-5, **options
        )
        descent = Descent(
            network=network, spec=spec, options=trainer, sampler=OneBatch(), loss=loss, device=torch.device("cpu")
        )
        descent.begin()
        before = [one.detach().clone() for one in network.parameters()]
        descent.step(1, done=done, random=Randomness(0, 1))
        return network, before

    return run


def test_a_sharpness_aware_step_takes_the_gradient_of_the_worst_point_nearby(descend):
    network, before = descend(sharpness=0.1)
    there = [one.clone().requires_grad_() for one in before]

    def loss(parameters):
        first, first_bias, second, second_bias = parameters
        hidden = first.view(2, 1) @ IMAGE.view(1, 3) + first_bias[:, None]
        return (second.view(3, 2) @ hidden + second_bias[:, None]).square().sum()

    gradients = torch.autograd.grad(loss(there), there)
    norm = torch.cat([one.flatten() for one in gradients]).norm()
    worst = [(one + 0.1 * g / norm).detach().requires_grad_() for one, g in zip(there, gradients, strict=True)]
    expected = torch.cat([one.flatten() for one in torch.autograd.grad(loss(worst), worst)])
    expected = expected / expected.norm().clamp(min=1)  # as gradients are clipped

    found = torch.cat([one.grad.flatten() for one in network.parameters()])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)


def test_layers_move_by_their_own_rates(descend):
    """AdamW's first step has the length of the rate in every weight."""
    network, before = descend(layer_decay=0.1, learning_rate=1e-2)
    moved = [(one.detach() - then).abs().max().item() for one, then in zip(network.parameters(), before, strict=True)]
    assert moved == [pytest.approx(rate, rel=1e-2) for rate in (1e-3, 1e-3, 1e-2, 1e-2)]


def test_the_last_layer_learns_alone_in_the_first_epochs_then_all_do(descend):
    alone, before = descend(head_epochs=1)
    moved = [not torch.equal(one.detach(), then) for one, then in zip(alone.parameters(), before, strict=True)]
    assert moved == [False, False, True, True]
    later, before = descend(head_epochs=1, done=1)
    assert all(not torch.equal(one.detach(), then) for one, then in zip(later.parameters(), before, strict=True))


@pytest.mark.parametrize("options", [{"layer_decay": 0.3}, {"sharpness": 0.05}, {"unlabelled_weight": 1.0}])
def test_a_restored_descent_takes_the_step_that_would_have_come_next(spec, options):
    trainer = dataclasses.replace(spec.trainer, augmentation=0.5, max_epochs=1, steps_per_epoch=4, **options)

    def descent_of(network):
        made = Descent(
            network=network,
            spec=spec,
            options=trainer,
            sampler=OneBatch(),
            loss=squares,
            device=torch.device("cpu"),
            pool=OneBatch(),
        )
        made.begin()
        return made

    whole = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv3d(2, 3, 1))
    first = descent_of(whole)
    for done in range(2):
        first.step(1, done=done, random=Randomness(0, done))
    resumed = copy.deepcopy(whole)
    state = copy.deepcopy(first.state())
    first.step(1, done=2, random=Randomness(0, 2))

    second = descent_of(resumed)
    second.restore(state)
    second.step(1, done=2, random=Randomness(0, 2))

    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_where_the_loss_overflows_at_the_worst_point_a_step_in_float16_is_left_out(descend, monkeypatch):
    """Loss scaling counts on gradients, of which there are none then."""
    asked = []

    def overflowing(logits, label, annotated, *, total=None):
        asked.append(1)
        return logits.square().sum() if len(asked) == 1 else logits.sum() * torch.inf

    monkeypatch.setattr("carina.trainers.descent.short_type", lambda device: torch.float16)
    network, before = descend(loss=overflowing, sharpness=0.1)
    assert len(asked) == 2
    assert all(torch.equal(one, then) for one, then in zip(network.parameters(), before, strict=True))


class Trap(torch.autograd.Function):
    """Passes scores on; in 16 bits its gradient is not a number. `seen` tells the numbers it was asked in."""

    seen: ClassVar[list[torch.dtype]] = []

    @staticmethod
    def forward(context, scores):
        return scores.clone()

    @staticmethod
    def backward(context, gradient):
        Trap.seen.append(gradient.dtype)
        return gradient * torch.nan if gradient.dtype == torch.bfloat16 else gradient


def test_a_gradient_in_16_bits_that_is_not_a_number_is_computed_again_in_32(descend, monkeypatch):
    monkeypatch.setattr("carina.trainers.descent.right_in_bfloat16", lambda network, image: True)
    monkeypatch.setattr("carina.networks.devices._cpu_multiplies_tiles", lambda: True)
    expected, _ = descend()
    trapped, _ = descend(loss=lambda logits, *_, total=None: Trap.apply(logits).square().sum())
    assert Trap.seen == [torch.bfloat16, torch.float32]
    asked = [next(network.parameters()).grad for network in (expected, trapped)]
    assert all(one.isfinite().all() for one in asked)
    torch.testing.assert_close(asked[0], asked[1], rtol=0.05, atol=0.01)
