"""BALD, test-time augmentation and committees: disagreement, not mere doubt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from carina.scoring import find_methods


@pytest.fixture(params=["bald", "tta", "committee"])
def method(request):
    return find_methods().get(request.param)


def test_equals_the_divergence_of_the_answers_from_their_mean(method):
    """Mutual information is also the mean Kullback–Leibler divergence, which scipy computes."""
    logits = np.random.default_rng(3).normal(0, 3, (7, 4, 5, 6, 2)).astype(np.float32)
    answers = softmax(logits.astype(np.float64), axis=1)
    mean = answers.mean(axis=0)
    divergence = np.mean([entropy(answer, mean, axis=0) for answer in answers], axis=0)
    expected = divergence[mean[0] <= 0.99].mean() / np.log(4)
    assert method.score([torch.from_numpy(logits)]) == pytest.approx(expected, abs=1e-6)


def test_answers_that_agree_in_their_doubt_do_not_disagree(method):
    assert method.score([torch.zeros(5, 3, 4, 4, 4)]) == pytest.approx(0.0, abs=1e-6)


def test_answers_that_are_sure_of_different_things_disagree_most(method):
    logits = torch.zeros(2, 2, 4, 4, 4)
    logits[0, 0] = logits[1, 1] = 100.0
    assert method.score([logits]) == pytest.approx(1.0)
