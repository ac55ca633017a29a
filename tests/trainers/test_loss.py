"""The loss equals MONAI's where everything is annotated, and spares what nobody looked at."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceLoss
from torchvision.ops import sigmoid_focal_loss

from carina.networks.factory import build_network
from carina.trainers.loss import PartialDiceCELoss, PartialSigmoidLoss, silence_unknown

EVERYTHING = torch.tensor([True, True, True, True])


def example(seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 6, 5, 4, generator=random, requires_grad=True)
    label = torch.randint(0, 4, (2, 1, 6, 5, 4), generator=random)
    return logits, label


def test_an_unannotated_label_may_be_drawn_on_background():
    loss = PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING)
    logits = torch.full((1, 4, 4, 4, 4), -8.0)
    logits[:, 3] = 8.0
    background = torch.zeros(1, 1, 4, 4, 4, dtype=torch.uint8)
    spared = torch.tensor([[True, True, True, False]])
    assert loss(logits, background, spared) < 0.01
    assert loss(logits, background, EVERYTHING[None]) > 1


def test_a_label_nobody_knows_is_not_spared():
    unknown = torch.tensor([True, True, True, False])
    loss = PartialDiceCELoss(present=unknown, known=unknown)
    logits = torch.full((1, 4, 4, 4, 4), -8.0)
    logits[:, 3] = 8.0
    assert loss(logits, torch.zeros(1, 1, 4, 4, 4, dtype=torch.uint8), unknown[None]) > 1


def test_an_annotated_label_is_learned_where_another_is_spared():
    loss = PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING)
    logits, _ = example()
    label = torch.full((2, 1, 6, 5, 4), 2)
    loss(logits, label, torch.tensor([[True, True, True, False]] * 2)).backward()
    assert (logits.grad[:, 2] < 0).all()
    assert (logits.grad[:, [0, 1]] > 0).all()
    assert (logits.grad[:, 3] > 0).all()


def test_where_everything_is_annotated_it_is_monais_dice_and_a_weighted_cross_entropy():
    loss = PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING)
    logits, label = example()
    weight = torch.tensor([1 / math.sqrt(int((label == channel).sum())) for channel in range(4)])
    monai = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=0, smooth_dr=0)
    expected = monai(logits, label) + torch.nn.CrossEntropyLoss(weight=weight)(logits, label[:, 0])
    assert torch.isclose(loss(logits, label, EVERYTHING.repeat(2, 1)), expected, rtol=1e-5)


def test_with_focus_each_voxel_counts_by_the_square_of_what_its_class_lacks():
    logits, label = example()
    usual, focal = (PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING, focal=focal) for focal in (False, True))
    own = logits.softmax(dim=1).gather(1, label)[:, 0]
    counts = torch.bincount(label.flatten(), minlength=4).float()
    weight = (1 / counts.sqrt())[label[:, 0]]
    less = -(weight * own.log() * (1 - (1 - own) ** 2)).sum() / counts.sqrt().sum()
    everything = EVERYTHING.repeat(2, 1)
    difference = usual(logits, label, everything) - focal(logits, label, everything)
    assert torch.isclose(difference, less, rtol=1e-4)
    focal(logits, label, everything).backward()
    assert logits.grad.abs().sum() > 0


def test_with_focus_overlapping_labels_have_torchvision_s_loss_of_each_voxel():
    logits = torch.randn(2, 2, 4, 4, 1, generator=torch.Generator().manual_seed(0))
    bits = torch.randint(0, 4, (2, 1, 4, 4, 1), generator=torch.Generator().manual_seed(1))
    truth = torch.stack([bits[:, 0] & 1, bits[:, 0] >> 1], dim=1).float()
    everything = torch.ones(2, 2, dtype=torch.bool)
    usual, focal = (PartialSigmoidLoss(focal=focal)(logits, bits, everything) for focal in (False, True))
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    focused = sigmoid_focal_loss(logits, truth, alpha=-1, gamma=2, reduction="mean")
    assert torch.isclose(usual - focal, plain - focused, rtol=1e-4)


def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_does():
    loss = PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING)
    _, label = example()
    perfect = torch.nn.functional.one_hot(label[:, 0], 4).movedim(-1, 1) * 40.0
    assert loss(perfect, label, EVERYTHING.repeat(2, 1)) < 1e-4
    assert loss(-perfect, label, EVERYTHING.repeat(2, 1)) > 5


def test_a_label_that_never_occurs_adds_nothing_to_the_dice_term():
    _, label = example()
    label[label == 3] = 0
    present = torch.tensor([True, True, True, False])
    perfect = torch.nn.functional.one_hot(label[:, 0], 4).movedim(-1, 1) * 40.0
    assert PartialDiceCELoss(present=present, known=EVERYTHING)(perfect, label, EVERYTHING.repeat(2, 1)) < 1e-4


def test_half_precision_scores_are_fine():
    logits, label = example()
    loss = PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING)
    spared = torch.tensor([[True, True, False, True]] * 2)
    label[label == 2] = 0
    full, half = loss(logits, label, spared), loss(logits.bfloat16(), label, spared)
    assert half.dtype == torch.float32
    assert torch.isclose(full, half, rtol=0.02)


def test_unknown_labels_start_silent_and_wake_when_they_are_annotated(spec):
    network = build_network(spec)
    image = torch.randn(1, 1, 8, 8, 8)
    first = torch.tensor([True, True, False])
    silence_unknown(network, known=first)
    assert network(image).softmax(dim=1)[:, 2].max() < 0.01
    silence_unknown(network, known=torch.tensor([True, True, True]), before=first)
    assert network(image).softmax(dim=1)[:, 2].mean() > 0.05


def overlapping_example():
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 6, 5, generator=random, requires_grad=True)
    label = torch.randint(0, 8, (2, 1, 6, 5), generator=random, dtype=torch.uint8)
    masks = torch.cat([(label >> bit) & 1 for bit in range(3)], dim=1).float()
    return logits, label, masks


def test_overlapping_labels_have_monais_dice_and_binary_cross_entropy_each():
    logits, label, masks = overlapping_example()
    monai = DiceLoss(sigmoid=True, batch=True, smooth_nr=0, smooth_dr=0)
    expected = monai(logits, masks) + torch.nn.BCEWithLogitsLoss()(logits, masks)
    found = PartialSigmoidLoss()(logits, label, torch.ones(2, 3, dtype=torch.bool))
    assert torch.isclose(found, expected, rtol=1e-5)


def test_an_overlapping_label_teaches_nothing_where_it_was_not_annotated():
    logits, label, _ = overlapping_example()
    annotated = torch.tensor([[True, True, False], [True, True, True]])
    PartialSigmoidLoss()(logits, label, annotated).backward()
    assert (logits.grad[0, 2] == 0).all()
    assert (logits.grad[1] != 0).all()
    assert (logits.grad[0, :2] != 0).all()


def example_of_bits():
    logits, label = example()
    return logits, 2**label - 1  # bits of the labels up to that one


@pytest.mark.parametrize(
    ("loss", "drawn"),
    [
        (PartialDiceCELoss(present=EVERYTHING, known=EVERYTHING), example),
        (PartialSigmoidLoss(), example_of_bits),
    ],
)
def test_shares_of_a_batch_have_the_loss_of_the_whole_and_together_its_gradient(loss, drawn):
    """As processes do that add up their sums; each gets its own part of the gradient."""
    logits, label = drawn()
    annotated = torch.ones(2, 4, dtype=torch.bool)
    whole = loss(logits, label, annotated)
    (expected,) = torch.autograd.grad(whole, logits)
    parts = [logits[one : one + 1].detach().requires_grad_() for one in (0, 1)]
    sums = []

    def keep(own):
        sums.append(own)
        return own

    for one, part in enumerate(parts):
        loss(part, label[one : one + 1], annotated[:1], total=keep)
    totalled = loss(parts[0], label[:1], annotated[:1], total=lambda own: sums[0] + sums[1])
    gradients = torch.autograd.grad(totalled, parts)

    torch.testing.assert_close(totalled, whole)
    torch.testing.assert_close(torch.cat(gradients), expected)
