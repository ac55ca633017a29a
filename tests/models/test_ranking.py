"""Ranking metrics against scikit-learn; intervals against what they must cover."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from carina.models.intervals import intervals
from carina.models.ranking import auprc, auroc, brier, contributions, placements, ranking_interval


@pytest.fixture(params=["continuous", "many ties"])
def sample(request):
    random = np.random.default_rng(3)
    truths = random.random(90) < 0.3
    scores = random.random(90) * 0.7 + truths * 0.3
    return (np.round(scores, 1) if request.param == "many ties" else scores), truths


def test_metrics_are_those_of_scikit_learn(sample):
    scores, truths = sample
    assert auroc(scores, truths) == pytest.approx(roc_auc_score(truths, scores))
    assert auprc(scores, truths) == pytest.approx(average_precision_score(truths, scores))
    assert brier(scores, truths) == pytest.approx(brier_score_loss(truths, scores))


def test_mean_placement_is_the_auroc_over_either_class_and_over_both(sample):
    scores, truths = sample
    placed, area = placements(scores, truths), roc_auc_score(truths, scores)
    for cases in (truths, ~truths, np.ones_like(truths)):
        assert placed[cases].mean() == pytest.approx(area)


def test_contributions_have_the_mean_of_the_auroc_and_its_variance_by_delong(sample):
    scores, truths = sample
    given, placed = contributions(scores, truths), placements(scores, truths)
    assert given.mean() == pytest.approx(roc_auc_score(truths, scores))
    delong = sum(placed[cases].var() / cases.sum() for cases in (truths, ~truths))
    assert given.var() / len(given) == pytest.approx(delong)


def test_few_cases_of_one_class_make_the_interval_of_contributions_as_wide_as_that_of_the_auroc():
    random = np.random.default_rng(0)
    truths = np.arange(310) < 10
    scores = random.normal(size=310) + truths
    patients = [str(number) for number in range(310)]
    (given,) = intervals(contributions(scores, truths)[:, None], patients=patients)
    ranked = ranking_interval(auroc, scores, truths, patients=patients)
    assert given.high - given.low == pytest.approx(ranked.high - ranked.low, rel=0.15)


def test_one_class_alone_defines_no_auroc():
    scores = np.array([0.1, 0.9])
    assert np.isnan(auroc(scores, np.array([True, True])))
    assert np.isnan(auroc(scores, np.array([False, False])))
    assert np.isnan(auprc(scores, np.array([False, False])))
    assert np.isnan(contributions(scores, np.array([True, True]))).all()
    assert np.isnan(contributions(scores, np.array([False, False]))).all()


def test_interval_holds_the_metric_and_is_wider_where_patients_have_many_images():
    random = np.random.default_rng(0)
    truths = np.repeat(random.random(30) < 0.5, 4)
    scores = np.repeat(random.random(30), 4) + truths * 0.2
    alone = ranking_interval(auroc, scores, truths, patients=[str(number) for number in range(120)], resamples=300)
    grouped = ranking_interval(
        auroc, scores, truths, patients=[str(number // 4) for number in range(120)], resamples=300
    )
    assert grouped.low < grouped.mean < grouped.high
    assert grouped.high - grouped.low > 1.4 * (alone.high - alone.low)
