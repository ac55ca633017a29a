"""Losses of findings, against torchvision's, the paper's objective, and themselves on shares of a batch."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from carina.errors import InvalidInputError
from carina.registry import find_tasks
from carina.task import LOSSES, TrainerOptions
from carina.trainers.findings_loss import (
    MaskedAUCMargin,
    MaskedCrossEntropy,
    answer_weights,
    findings_loss,
)
from carina.trainers.options import check_options, override

from .findings import SPEC, cases

ALIKE = torch.ones(2, 3)


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 3, generator=random)
    label = (torch.rand(8, 3, generator=random) < 0.4).float()
    return logits, label, torch.rand(8, 3, generator=random) < 0.7


def test_what_nobody_looked_for_teaches_nothing():
    logits = torch.zeros(2, 3, requires_grad=True)
    asked = torch.tensor([[True, False, False], [True, True, False]])
    MaskedCrossEntropy(ALIKE)(logits, torch.ones(2, 3), asked).backward()
    np.testing.assert_allclose(logits.grad.numpy(), np.array([[-1, 0, 0], [-1, -1, 0]]) / 6, atol=1e-6)


def test_focal_loss_is_torchvision_s_where_somebody_looked(batch):
    logits, label, asked = batch
    expected = sigmoid_focal_loss(logits[asked], label[asked], alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(MaskedCrossEntropy(ALIKE, focus=2.0)(logits, label, asked), expected)


def test_the_margin_loss_is_the_solution_of_the_paper_s_problem(batch):
    """min over a and b, max over α ≥ 0 of E₊(h-a)² + E₋(h-b)² + 2α(m + E₋h - E₊h) - α² (Yuan et al., eq. 4)."""
    logits, label, _ = batch
    asked = torch.ones_like(label, dtype=torch.bool)
    chances = logits.sigmoid().numpy()
    fine = np.linspace(0, 1, 401)
    wanted = []
    for finding in range(3):
        having = label[:, finding].numpy() == 1
        with_it, without = chances[having, finding], chances[~having, finding]
        spread = min(((with_it - a) ** 2).mean() for a in fine) + min(((without - b) ** 2).mean() for b in fine)
        margin = max(2 * alpha * (1 + without.mean() - with_it.mean()) - alpha**2 for alpha in np.linspace(0, 2, 2001))
        wanted.append(spread + margin)
    assert float(MaskedAUCMargin()(logits, label, asked)) == pytest.approx(np.mean(wanted), abs=1e-4)


def test_the_margin_loss_ranks_where_somebody_looked_and_leaves_the_rest_alone(batch):
    logits, label, asked = batch
    logits = logits.clone().requires_grad_()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(MaskedAUCMargin()(logits, label, asked), logits)
        assert not gradient[~asked].any()
        logits = (logits - 5 * gradient).detach().requires_grad_()
    for finding, (row, other) in itertools.product(range(3), itertools.permutations(range(8), 2)):
        if asked[row, finding] and asked[other, finding] and label[row, finding] > label[other, finding]:
            assert logits[row, finding] > logits[other, finding]


@pytest.mark.parametrize("name", LOSSES["classification"])
def test_shares_of_a_batch_give_the_loss_of_the_whole_batch(name, batch):
    options = dataclasses.replace(TrainerOptions(), loss=name, class_weights=1.0)
    loss = findings_loss(options, cases(), SPEC)
    sums = []

    def keep(own):
        sums.append(own)
        return own

    loss(*(part[3:] for part in batch), total=keep)
    shared = loss(*(part[:3] for part in batch), total=lambda own: own + sums[0])
    torch.testing.assert_close(shared, loss(*batch))


def test_the_rarer_answer_weighs_by_the_inverse_of_its_share_and_at_most_tenfold():
    few = [dataclasses.replace(case, findings={"nodule": number < 4}) for number, case in enumerate(cases(16))]
    weights = answer_weights(few, SPEC, power=1.0)
    np.testing.assert_allclose(weights[:, 0].numpy(), [16 / 24, 16 / 8])
    np.testing.assert_allclose(weights[:, 2].numpy(), [1, 1])
    one = [dataclasses.replace(case, findings={"nodule": number == 0}) for number, case in enumerate(cases(32))]
    assert answer_weights(one, SPEC, power=1.0)[1, 0] == 10
    assert torch.equal(answer_weights(few, SPEC, power=0.0), torch.ones(2, 3))


def test_weights_change_the_loss_as_torch_s_do(batch):
    logits, label, _ = batch
    asked = torch.ones_like(label, dtype=torch.bool)
    weights = torch.tensor([[1.0] * 3, [3.0] * 3])
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, label, pos_weight=weights[1], reduction="sum")
    expected = each / (1 + 2 * label).sum()
    torch.testing.assert_close(MaskedCrossEntropy(weights)(logits, label, asked), expected)


def test_a_loss_of_another_kind_of_task_is_refused_with_those_there_are():
    drawing = find_tasks().get("thorax_ct")
    with pytest.raises(InvalidInputError, match="cross_entropy, focal"):
        check_options(SPEC, override(SPEC.trainer, {"loss": "dice_ce"}))
    for values in ({"loss": "auc_margin"}, {"mixup": 0.2}, {"class_weights": 1}):
        with pytest.raises(InvalidInputError, match=r"draws|kind"):
            check_options(drawing, override(drawing.trainer, values))
    check_options(drawing, override(drawing.trainer, {"loss": "dice_focal"}))
