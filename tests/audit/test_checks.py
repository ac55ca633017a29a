"""Each check says flagged, ok or cannot tell where that is right; figures agree with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import recall_score, roc_auc_score

from carina.audit.answers import MARKED, NO_CORNERS, NO_REGION
from carina.audit.consistency import consistency
from carina.audit.reliability import reliability
from carina.audit.shortcuts import shortcuts
from carina.audit.subgroups import subgroups

from .columns import believable, column


def verdict_on(verdicts, measure):
    return next(one for one in verdicts if one.measure == measure)


def test_right_probabilities_are_ok_and_bins_are_those_of_scikit_learn():
    probabilities, truths = believable(600)
    measured = reliability(column(probabilities, truths))
    observed, claimed = calibration_curve(truths, probabilities, n_bins=10)
    np.testing.assert_allclose([place.observed for place in measured.bins], observed)
    np.testing.assert_allclose([place.claimed for place in measured.bins], claimed)
    assert measured.verdict.state == "ok"
    assert measured.error <= measured.by_chance
    assert sum(place.low <= place.observed <= place.high for place in measured.bins) >= 9


def test_probabilities_that_are_too_high_are_flagged_and_it_is_said():
    probabilities, truths = believable(600)
    verdict = reliability(column(np.sqrt(probabilities), truths)).verdict
    assert verdict.state == "flagged"
    assert "too high" in verdict.reason
    assert verdict.advice


@pytest.mark.parametrize("count", [12, 60])
def test_few_images_cannot_show_calibration(count):
    assert reliability(column(*believable(count))).verdict.state == "cannot tell"


def test_a_group_whose_findings_are_missed_is_flagged():
    random = np.random.default_rng(1)
    truths = np.tile([True, False], 200)
    women = np.arange(400) < 150
    probabilities = np.where(truths, 0.8, 0.2) + random.normal(0, 0.05, 400)
    missed = women & truths & (random.random(400) < 0.4)
    probabilities[missed] = 0.3
    groups = {"sex": {f"i{number}": "F" if women[number] else "M" for number in range(400)}}

    female, male = subgroups(column(probabilities, truths), groups)

    assert (female.group, female.n, female.positives) == ("F", 150, 75)
    assert female.auroc.mean == pytest.approx(roc_auc_score(truths[women], probabilities[women]))
    answers = probabilities >= 0.5
    assert female.missed.mean == pytest.approx(1 - recall_score(truths[women], answers[women]))
    assert female.gap.mean == pytest.approx(female.missed.mean - male.missed.mean)
    assert female.gap.low < female.gap.mean < female.gap.high
    assert (female.verdict.state, male.verdict.state) == ("flagged", "ok")


def test_a_small_group_is_said_to_be_small():
    probabilities, truths = believable(200)
    groups = {"view": {f"i{number}": "AP" if number < 8 else "PA" for number in range(200)}}
    small, others = subgroups(column(probabilities, truths), groups)
    assert small.auroc is None
    assert small.verdict.state == "cannot tell"
    assert "fewer than 10" in small.verdict.reason
    assert others.auroc is not None


def test_what_is_told_without_the_region_is_flagged():
    probabilities, truths = believable(200)
    effects, verdicts = shortcuts(column(probabilities, truths, changed={NO_REGION: probabilities}))
    assert effects[0].auroc.mean == pytest.approx(roc_auc_score(truths, probabilities))
    assert effects[0].drop.mean == 0
    assert verdict_on(verdicts, NO_REGION).state == "flagged"


def test_chance_without_the_region_is_ok_also_where_some_images_have_none():
    probabilities, truths = believable(200)
    without = np.random.default_rng(5).random(200)
    without[:20] = np.nan
    effects, verdicts = shortcuts(column(probabilities, truths, changed={NO_REGION: without}))
    assert effects[0].auroc.n == 180
    assert verdict_on(verdicts, NO_REGION).state == "ok"


def test_a_model_that_tells_nothing_is_not_called_free_of_shortcuts():
    random, truths = np.random.default_rng(6), np.tile([True, False], 100)
    _, verdicts = shortcuts(column(random.random(200), truths, changed={NO_REGION: random.random(200)}))
    assert {one.state for one in verdicts} == {"cannot tell"}


def test_without_a_region_nothing_is_said_of_it():
    verdict = verdict_on(shortcuts(column(*believable(200)))[1], NO_REGION)
    assert verdict.state == "cannot tell"
    assert "--roi-from" in verdict.advice


def test_answers_from_the_corners_are_flagged():
    probabilities, truths = believable(200)
    _, verdicts = shortcuts(column(probabilities, truths, changed={NO_CORNERS: np.full(200, 0.4)}))
    assert verdict_on(verdicts, NO_CORNERS).state == "flagged"


def test_of_the_markers_the_one_that_moves_most_is_judged():
    probabilities, truths = believable(200)
    marked = dict.fromkeys(MARKED.values(), probabilities) | {MARKED["top right"]: np.full(200, 0.95)}
    _, verdicts = shortcuts(column(probabilities, truths, changed=marked))
    assert verdict_on(verdicts, MARKED["top right"]).state == "flagged"
    assert verdict_on(verdicts, NO_CORNERS).state == "ok"


def test_consistency_counts_answers_and_names_the_worst_change():
    truths = np.tile([True, False], 50)
    probabilities = np.where(truths, 0.9, 0.1)
    unsteady = np.where(np.arange(100) < 8, 1 - probabilities, probabilities)
    measured, verdict = consistency(
        column(probabilities, truths, perturbed=("noise", "moved up"), changed={"moved up": unsteady})
    )
    assert [one.answers_changed.mean for one in measured] == [0.0, 0.08]
    assert measured[1].mean_move == pytest.approx(0.8 * 0.08)
    assert verdict.state == "flagged"
    assert "moved up" in verdict.reason
