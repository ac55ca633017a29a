"""The sums are those of the softmax, and their written-out gradient is the one that autograd finds."""

from __future__ import annotations

import pytest
import torch

from carina.trainers.class_sums import class_sums

CLASSES = 4


def plain(logits, target):
    """The same from separate operations."""
    probabilities = logits.softmax(dim=1)
    one_hot = torch.nn.functional.one_hot(target, CLASSES).movedim(-1, 1)
    over = [0, *range(2, logits.ndim)]
    logarithms = (logits.log_softmax(dim=1) * one_hot).sum(dim=over)
    return logarithms, (probabilities * one_hot).sum(dim=over), probabilities.sum(dim=over)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_sums_and_gradient_are_those_of_separate_operations(layout):
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(2, CLASSES, 5, 4, 3, generator=random, dtype=torch.float64).to(memory_format=layout)
    target = torch.randint(0, CLASSES - 1, (2, 5, 4, 3), generator=random)  # the last class does not occur
    weights = torch.randn(3, CLASSES, generator=random, dtype=torch.float64)
    gradients = []
    for sums in (class_sums, plain):
        scores = logits.clone().requires_grad_()
        found = sums(scores, target)
        sum((one.double() * weight).sum() for one, weight in zip(found, weights, strict=True)).backward()
        gradients.append(scores.grad)
        expected = plain(logits, target)
        assert all(torch.allclose(one.double(), other, atol=1e-5) for one, other in zip(found, expected, strict=True))
    assert torch.allclose(*gradients, atol=1e-6)


def test_certain_scores_give_finite_sums_and_gradients():
    logits = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]], requires_grad=True)
    found = class_sums(logits, torch.tensor([[0, 0]]))
    sum(one.sum() for one in found).backward()
    assert all(torch.isfinite(one).all() for one in found)
    assert torch.isfinite(logits.grad).all()
