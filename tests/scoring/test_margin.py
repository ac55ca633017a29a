from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from carina.scoring.margin import METHOD


def test_equals_the_mean_gap_of_sorted_probabilities_that_are_not_surely_background():
    logits = np.random.default_rng(3).normal(0, 4, (5, 6, 7, 8)).astype(np.float32)
    probabilities = softmax(logits.astype(np.float64), axis=0)
    counted = probabilities[0] <= 0.99
    ordered = np.sort(probabilities, axis=0)
    expected = (1 - (ordered[-1] - ordered[-2]))[counted].mean()
    assert METHOD.score([torch.from_numpy(logits)]) == pytest.approx(expected, abs=1e-6)
