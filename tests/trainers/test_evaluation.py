"""Means leave out what is undefined, and the JSON has the documented form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from carina.errors import CancelledError
from carina.geometry import Volume
from carina.trainers.evaluation import evaluate

from .conftest import draw_toy


def half_right(image: Volume) -> Volume:
    """Finds the liver exactly and never the spleen."""
    return Volume(((image.array > 30) & (image.array < 70)).astype(np.uint8), image.grid)


def test_means_and_rows_have_the_documented_form(spec, toy_case):
    cases = [toy_case(0), toy_case(1, annotated=frozenset({"liver"}))]
    evaluation = evaluate(cases, predict_label=half_right, spec=spec)
    content = json.loads(json.dumps(evaluation.to_json(model_version="v1", per_case=True), allow_nan=False))
    assert content.keys() == {"task", "model_version", "cases", "labels", "per_case"}
    assert (content["task"], content["model_version"], content["cases"]) == ("toy_ct", "v1", 2)
    assert content["labels"]["spleen"] == {"dice": 0.0, "hd95_mm": None, "volume_error_ml": pytest.approx(-210 * 0.011)}
    assert [row["image"] for row in content["per_case"]] == ["image0", "image1"]
    assert content["per_case"][1]["labels"].keys() == {"liver"}
    expected = []
    for seed in (0, 1):
        image, truth = draw_toy(seed)
        expected.append(f1_score(truth.array.ravel() == 1, half_right(image).array.ravel() == 1))
    assert content["labels"]["liver"]["dice"] == pytest.approx(np.mean(expected))
    assert evaluation.mean_dice() == pytest.approx(np.mean(expected) / 2)
    (score,) = evaluation.scores()["image1"].values()
    assert score.dice == pytest.approx(expected[1])
    assert score.reference_ml == pytest.approx((draw_toy(1)[1].array == 1).sum() * 0.011)
    labelled = draw_toy(1)[1].array
    assert score.chance == pytest.approx(np.count_nonzero(labelled == 1) / np.count_nonzero(labelled))  # names shuffled
    assert evaluation.patients() == {"image0": "patient0", "image1": "patient1"}
    spread = evaluation.intervals()["liver"]["dice"]
    assert (spread["mean"], spread["n"]) == (pytest.approx(np.mean(expected)), 2)
    assert (spread["low"], spread["high"]) == (pytest.approx(min(expected)), pytest.approx(max(expected)))
    assert evaluation.intervals()["spleen"]["dice"] == {"mean": 0.0, "low": None, "high": None, "n": 1}
    assert "per_case" not in evaluation.to_json(model_version=None)


def test_cancelling_stops_between_cases(spec, toy_case):
    seen = []
    with pytest.raises(CancelledError):
        evaluate(
            [toy_case(0), toy_case(1)],
            predict_label=half_right,
            spec=spec,
            progress=lambda fraction, text: seen.append(fraction),
            cancelled=lambda: bool(seen),
        )
    assert seen == [0.5]
