from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc

from carina.simulate.curves import summarise

LABELS = [4, 8, 12, 16]
RANDOM = np.array([[0.2, 0.4, 0.6, 0.8], [0.3, 0.5, 0.7, 0.9]])
BETTER = np.array([[0.2, 0.8, 0.9, 0.9], [0.3, 0.7, 0.9, 0.9]])
FULL = np.array([0.85, 0.95])
EFFORTS = {"random": np.array([[1, 2, 3, 40], [1, 2, 3, 60]], float), "better": np.array([[1, 2, 3, 20]] * 2, float)}

CONTOURS = {"random": np.array([[1, 2, 3, 8]] * 2, float), "better": np.array([[1, 2, 3, 4], [1, 2, 3, 8]], float)}


@pytest.fixture
def summaries():
    found = summarise(
        {"random": RANDOM, "better": BETTER}, labels=LABELS, full=FULL, efforts=EFFORTS, contours=CONTOURS
    )
    return {one.strategy: one for one in found}


def test_the_area_is_that_of_scikit_learn_over_the_range_of_labels(summaries):
    for name, curves in (("random", RANDOM), ("better", BETTER)):
        expected = np.mean([auc(LABELS, curve) / 12 for curve in curves])
        assert summaries[name].area.value == pytest.approx(expected)
    ratio = summaries["better"].area.value / summaries["random"].area.value
    assert summaries["better"].area_ratio.value == pytest.approx(ratio)


def test_labels_needed_lie_where_the_mean_curve_crosses_the_target(summaries):
    """90 % of 0.90 is 0.81: random's mean curve 0.25, 0.45, 0.65, 0.85 has it at 15.2, the other's at 9.6."""
    for name, curves in (("random", RANDOM), ("better", BETTER)):
        across = np.linspace(4, 16, 120_001)
        expected = across[np.interp(across, LABELS, curves.mean(axis=0)) >= 0.81][0]
        assert summaries[name].needed["90%"].value == pytest.approx(expected, abs=1e-3)
    assert summaries["better"].needed_ratio["90%"].value == pytest.approx(9.6 / 15.2, rel=1e-3)
    assert summaries["random"].needed_ratio["90%"].value == pytest.approx(1.0)


def test_a_target_that_is_never_reached_has_no_number(summaries):
    assert summaries["random"].needed["95%"].value is None
    assert summaries["better"].needed_ratio["95%"].value is None


def test_random_against_itself_is_one_without_any_doubt(summaries):
    own = summaries["random"].area_ratio
    assert (own.value, own.low, own.high) == pytest.approx((1.0, 1.0, 1.0))
    assert summaries["random"].area_difference.high == pytest.approx(0.0)


def test_seeds_are_compared_with_themselves(summaries):
    """The difference to random is the same for nearly every draw of seeds although the curves differ much."""
    gains = [auc(LABELS, one) / 12 - auc(LABELS, other) / 12 for one, other in zip(BETTER, RANDOM, strict=True)]
    difference = summaries["better"].area_difference
    assert difference.value == pytest.approx(np.mean(gains))
    assert difference.low == pytest.approx(min(gains))
    assert difference.high == pytest.approx(max(gains))


def test_effort_is_compared_after_the_last_round(summaries):
    assert summaries["better"].effort_ratio.value == pytest.approx(20 / 50)
    contour = summaries["better"].contour_ratio
    assert (contour.value, contour.low, contour.high) == pytest.approx((6 / 8, 4 / 8, 8 / 8))
    assert [point["contour_added"] for point in summaries["better"].curve] == [1, 2, 3, 6]


def test_one_seed_has_no_interval():
    efforts = {"random": EFFORTS["random"][:1]}
    (one,) = summarise({"random": RANDOM[:1]}, labels=LABELS, full=FULL[:1], efforts=efforts, contours=efforts)
    assert one.area.value is not None
    assert one.area.low is None
    assert one.curve[0]["low"] is None
