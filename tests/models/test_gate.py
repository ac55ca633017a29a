"""The gate lets nothing worse through, says why, and knows what it does not know."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from carina.errors import ConfigurationError
from carina.models.gate import decide

NAN = math.nan


def test_anything_is_promoted_while_nothing_is_served():
    decision = decide({"a": {"liver": 0.1}}, None, margin=0.01)
    assert decision.promoted
    assert decision.reason == "nothing served yet"


def test_better_on_every_label_is_promoted():
    decision = decide(
        {"a": {"liver": 0.9}, "b": {"liver": 0.8}}, {"a": {"liver": 0.7}, "b": {"liver": 0.7}}, margin=0.01
    )
    assert decision.promoted
    assert decision.mean_difference == pytest.approx(0.15)
    assert decision.interval[0] <= 0.15 <= decision.interval[1]
    assert decision.per_label[0].candidate == pytest.approx(0.85)


def test_one_label_beyond_the_margin_stops_a_better_mean():
    decision = decide({"a": {"liver": 0.9, "spleen": 0.5}}, {"a": {"liver": 0.5, "spleen": 0.6}}, margin=0.05)
    assert not decision.promoted
    assert "spleen -0.100" in decision.reason
    assert [row.worse for row in decision.per_label] == [False, True]


def test_a_fall_within_the_margin_passes_if_the_mean_holds():
    served = {"a": {"liver": 0.5, "spleen": 0.6}}
    assert decide({"a": {"liver": 0.52, "spleen": 0.59}}, served, margin=0.01).promoted
    assert not decide({"a": {"liver": 0.505, "spleen": 0.59}}, served, margin=0.01).promoted


def test_an_empty_holdout_promotes_nothing_over_a_served_version():
    decision = decide({}, {}, margin=0.01)
    assert not decision.promoted
    assert "holdout is empty" in decision.reason
    assert "carina models promote" in decision.reason


def test_undefined_dice_counts_for_nothing():
    candidate = {"a": {"liver": 0.8, "nodule": NAN}, "b": {"liver": NAN, "nodule": 0.5}}
    served = {"a": {"liver": 0.8, "nodule": NAN}, "b": {"liver": NAN, "nodule": 0.4}}
    decision = decide(candidate, served, margin=0.0)
    assert decision.promoted
    assert decision.mean_difference == pytest.approx(0.05)
    json.dumps(decision.to_json(), allow_nan=False)


def test_a_holdout_without_any_label_promotes_nothing():
    decision = decide({"a": {"liver": NAN}}, {"a": {"liver": NAN}}, margin=0.01)
    assert not decision.promoted
    assert "no holdout case" in decision.reason


def test_different_cases_cannot_be_compared():
    with pytest.raises(ConfigurationError, match="same cases"):
        decide({"a": {"liver": 1.0}}, {"b": {"liver": 1.0}}, margin=0.01)


def test_interval_is_scipys_percentile_bootstrap():
    differences = np.random.default_rng(5).normal(0.03, 0.05, size=25)
    served = {f"{number}": {"liver": 0.5} for number in range(25)}
    candidate = {f"{number}": {"liver": 0.5 + value} for number, value in enumerate(differences)}
    low, high = decide(candidate, served, margin=1.0, resamples=20_000).interval
    expected = stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=20_000, rng=7)
    assert low == pytest.approx(expected.confidence_interval.low, abs=2e-3)
    assert high == pytest.approx(expected.confidence_interval.high, abs=2e-3)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 0.2))
def test_a_lower_mean_is_never_promoted(pairs, margin):
    candidate = {str(number): {"liver": pair[0]} for number, pair in enumerate(pairs)}
    served = {str(number): {"liver": pair[1]} for number, pair in enumerate(pairs)}
    difference = float(np.mean([pair[0] - pair[1] for pair in pairs]))
    decision = decide(candidate, served, margin=margin, resamples=50)
    assert decision.promoted is (difference >= -1e-6)
