from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from carina.scoring.entropy import METHOD


def test_equals_scipy_over_the_voxels_that_are_not_surely_background():
    logits = np.random.default_rng(3).normal(0, 4, (5, 6, 7, 8)).astype(np.float32)
    probabilities = softmax(logits.astype(np.float64), axis=0)
    counted = probabilities[0] <= 0.99
    assert 0 < counted.sum() < counted.size
    expected = entropy(probabilities, axis=0)[counted].mean() / np.log(5)
    assert METHOD.score([torch.from_numpy(logits)]) == pytest.approx(expected, abs=1e-6)


def test_knowing_nothing_is_one_and_being_sure_is_zero():
    sure = torch.zeros(3, 4, 4, 4)
    sure[1] = 100.0
    assert METHOD.score([torch.zeros(3, 4, 4, 4)]) == pytest.approx(1.0)
    assert METHOD.score([sure]) == pytest.approx(0.0, abs=1e-6)


def test_air_around_a_patient_changes_nothing():
    patient = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    air = torch.zeros(3, 40, 40, 4)
    air[0] = 10.0
    assert METHOD.score([patient, air]) == pytest.approx(METHOD.score([patient]))
    assert METHOD.score([air]) == 0.0
