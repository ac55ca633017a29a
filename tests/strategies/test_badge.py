"""Gradient embeddings, against gradients that torch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from carina.strategies import Candidate, find_strategies
from carina.strategies.badge import _gradients

RANDOM = np.random.default_rng(2)
FEATURES = RANDOM.normal(size=(14, 5)).astype(np.float32)
SHARES = RANDOM.uniform(size=(14, 3))
NAMES = ("effusion", "nodule", "pneumothorax")


def candidate(index: int, features, shares) -> Candidate:
    return Candidate(
        image_id=f"{index:03d}", embedding=features, presence=dict(zip(NAMES, map(float, shares), strict=True))
    )


POOL = [candidate(index, FEATURES[index], SHARES[index]) for index in range(len(FEATURES))]


def choose(pool, *, count: int, seed: int = 0) -> list[int]:
    choices = find_strategies().get("badge").choose_batch(pool, count=count, seed=seed, now=0.0)
    return [int(choice.image_id) for choice in choices]


@pytest.fixture(scope="module")
def of_torch() -> np.ndarray:
    """`(images, labels × features)`: of binary cross-entropy with the own answer as the truth, at the last layer."""
    rows = []
    for features, shares in zip(FEATURES, SHARES, strict=True):
        weights = torch.zeros(3, 5, dtype=torch.float64, requires_grad=True)
        logits = weights @ torch.tensor(features, dtype=torch.float64) + torch.tensor(shares).logit()
        answer = (logits.detach() >= 0).double()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, answer, reduction="sum")
        rows.append(torch.autograd.grad(loss, weights)[0].flatten().numpy())
    return np.array(rows)


def test_lengths_and_distances_are_those_of_the_gradients_of_the_last_layer(of_torch):
    gradients = _gradients(POOL)
    assert gradients.squares == pytest.approx((of_torch**2).sum(axis=1))
    for index in (0, 9):
        assert np.sqrt(gradients.squares_to(index)) == pytest.approx(cdist(of_torch, of_torch[[index]])[:, 0], abs=1e-6)


def test_the_longest_gradient_comes_first_whatever_the_seed(of_torch):
    longest = int((of_torch**2).sum(axis=1).argmax())
    assert {choose(POOL, count=1, seed=seed)[0] for seed in range(5)} == {longest}


def test_a_batch_takes_one_image_of_each_group_of_like_gradients():
    """Three groups of five that lie on each other: k-means++ never draws a second one at a distance of nothing."""
    pool = [candidate(index, np.eye(3, dtype=np.float32)[index % 3], (0.4, 0.1, 0.6)) for index in range(15)]
    for seed in range(6):
        assert {index % 3 for index in choose(pool, count=3, seed=seed)} == {0, 1, 2}


def test_images_of_which_a_model_is_sure_are_left_to_chance():
    pool = [candidate(index, FEATURES[index], (0.0, 1.0, 0.0)) for index in range(14)]
    assert len({choose(pool, count=1, seed=seed)[0] for seed in range(20)}) > 5
