"""Intervals are SciPy's, whole patients are drawn, and what is undefined counts for nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from carina.models.intervals import intervals, mean_over_columns, percentile_interval, resampled_means

NAN = math.nan


def test_a_column_has_scipys_percentile_interval():
    values = np.random.default_rng(3).beta(8, 2, size=(30, 1))
    samples = resampled_means(values, patients=[str(number) for number in range(30)], resamples=20_000)
    expected = stats.bootstrap((values[:, 0],), np.mean, method="percentile", n_resamples=20_000, rng=1)
    low, high = percentile_interval(samples[:, 0])
    assert low == pytest.approx(expected.confidence_interval.low, abs=2e-3)
    assert high == pytest.approx(expected.confidence_interval.high, abs=2e-3)


def test_images_of_one_patient_are_drawn_together():
    """Ten copies of each patient's image do not make the interval narrower."""
    patients = np.random.default_rng(4).normal(size=12)
    once = intervals(patients[:, None], patients=[str(number) for number in range(12)])[0]
    often = intervals(
        np.repeat(patients, 10)[:, None], patients=[str(number) for number in np.repeat(np.arange(12), 10)]
    )[0]
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))
    assert (once.n, often.n) == (12, 120)


def test_undefined_values_are_left_out():
    first, second, third = intervals(
        np.array([[0.5, NAN, NAN], [0.7, 0.4, NAN], [0.6, NAN, NAN]]), patients=["a", "b", "c"]
    )
    assert (first.mean, first.n) == (pytest.approx(0.6), 3)
    assert first.low < 0.6 < first.high
    assert second.to_json() == {"mean": 0.4, "low": None, "high": None, "n": 1}
    assert third.to_json() == {"mean": None, "low": None, "high": None, "n": 0}


def test_one_seed_gives_one_interval():
    values = np.random.default_rng(5).normal(size=(9, 2))
    patients = list("abcdefghi")
    assert intervals(values, patients=patients) == intervals(values, patients=patients)
    assert intervals(values, patients=patients) != intervals(values, patients=patients, seed=1)


def test_a_sample_without_any_value_has_no_mean():
    means = mean_over_columns(np.array([[NAN, 2.0], [NAN, NAN], [1.0, 3.0]]))
    assert means[[0, 2]].tolist() == [2, 2]
    assert math.isnan(means[1])
    assert percentile_interval(np.array([NAN])) is None
