"""Calibration mends what is known to be wrong, and conformal sets hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from carina.models.calibration import (
    Calibration,
    FindingCalibration,
    expected_calibration_error,
    fit_finding,
    platt,
    sigmoid,
)


def cases(count: int, *, seed: int, slope: float = 3.0, offset: float = -1.5):
    """Logits of a network that is too sure of itself and shifted by a known line, and the truths."""
    random = np.random.default_rng(seed)
    honest = random.normal(-0.5, 1.5, count)
    truths = random.random(count) < sigmoid(honest)
    return slope * honest + offset, truths


def test_error_of_known_miscalibration_is_mended():
    logits, truths = cases(600, seed=1)
    fitted = fit_finding(logits, truths)
    fresh, fresh_truths = cases(4000, seed=2)
    before = expected_calibration_error(sigmoid(fresh), fresh_truths)
    after = expected_calibration_error(fitted.probability(fresh), fresh_truths)
    assert before > 0.1
    assert after <= 0.05


def test_line_is_the_inverse_of_the_one_that_was_applied():
    logits, truths = cases(40000, seed=3)
    slope, offset = platt(logits, truths)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert offset == pytest.approx(0.5, abs=0.05)


def test_line_is_that_of_an_unpenalised_logistic_regression():
    logits, truths = cases(5000, seed=4)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(logits[:, None], truths)
    slope, offset = platt(logits, truths)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert offset == pytest.approx(reference.intercept_[0], rel=0.05)


def test_where_logits_fall_with_the_finding_every_image_gets_its_share():
    random = np.random.default_rng(1)
    logits = random.normal(-4, 1, 200)
    truths = random.random(200) < sigmoid(-0.8 * (logits + 4) - 0.5)
    slope, offset = platt(logits, truths)
    assert slope > 0
    assert sigmoid(slope * logits + offset) == pytest.approx(truths.mean(), abs=0.01)


def test_sets_hold_the_truth_in_nine_of_ten_images_over_two_hundred_draws():
    covered = []
    for draw in range(200):
        logits, truths = cases(240, seed=100 + draw)
        fitted = fit_finding(logits[:120], truths[:120])
        possible = [fitted.possible(p) for p in fitted.probability(logits[120:])]
        covered += [has if truth else has_not for (has, has_not), truth in zip(possible, truths[120:], strict=True)]
    assert np.mean(covered) == pytest.approx(0.90, abs=0.03)


def test_perfectly_separated_cases_do_not_give_certainty():
    logits = np.concatenate([np.full(6, -9.0), np.full(6, 9.0)])
    fitted = fit_finding(logits, logits > 0)
    assert 0.7 < fitted.probability(np.array([9.0]))[0] < 0.95


def test_too_few_cases_leave_the_logit_as_it_is_and_every_answer_open():
    fitted = fit_finding(np.array([2.0, -1.0, 0.5]), np.array([True, False, True]))
    assert (fitted.slope, fitted.offset, fitted.threshold) == (1.0, 0.0, 1.0)
    assert fitted.state(0.999) == "uncertain"


def test_a_network_that_is_wrong_the_other_way_round_keeps_its_order():
    logits, truths = cases(300, seed=5)
    assert fit_finding(logits, ~truths).slope > 0


@pytest.mark.parametrize(("probability", "state"), [(0.9, "positive"), (0.1, "negative"), (0.5, "uncertain")])
def test_only_one_possible_answer_is_told(probability, state):
    assert FindingCalibration(threshold=0.3).state(probability) == state


def test_comes_back_from_json():
    calibration = Calibration(findings={"covid19": FindingCalibration(slope=0.5, offset=0.1, threshold=0.4, cases=20)})
    assert Calibration.from_json(calibration.to_json()) == calibration
