"""How unusual a number is, in robust standard deviations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from carina.models.usual import ODD, Spread


def test_middle_and_deviation_are_scipys_robust_ones():
    values = np.random.default_rng(0).normal(3, 2, 101).tolist()
    spread = Spread.of(values, smallest=0.1)
    assert spread.middle == pytest.approx(np.median(values))
    assert spread.deviation == pytest.approx(stats.median_abs_deviation(values, scale="normal"), rel=1e-4)


def test_six_deviations_are_odd_and_less_than_usual_is_not():
    spread = Spread.of([1.0, 1.0, 1.0], smallest=0.5)
    assert spread.beyond(4.0) == pytest.approx(ODD)
    assert spread.beyond(-100.0) == 0.0
    assert spread.apart(-2.0) == spread.apart(4.0) == pytest.approx(ODD)
    assert spread.beyond(1e9) < 1.0001
