"""What is measured on masks of known size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from carina.errors import GeometryError, InvalidInputError
from carina.measurements import (
    QUANTITIES,
    Measurement,
    anatomy_measured,
    cardiothoracic,
    in_words,
    measurements_in,
    opacity_share,
)
from carina.structures import label_set


def thorax():
    """A heart from column 30 to 59 at two heights, and lungs from 10 to 89 at their widest height."""
    heart, lungs = np.zeros((100, 60, 1), bool), np.zeros((100, 60, 1), bool)
    heart[30:50, 20:30], heart[40:60, 30:40] = True, True
    lungs[20:35, 5:50], lungs[65:80, 5:50] = True, True
    lungs[10:30, 40], lungs[70:90, 40] = True, True
    return heart, lungs


def test_the_ratio_is_the_whole_width_of_the_heart_by_the_widest_line_through_the_lungs():
    heart, lungs = thorax()
    found = cardiothoracic(heart, lungs, pixel_mm=0.5)
    assert found == {"cardiothoracic_ratio": 30 / 80, "heart_width": 15.0, "thorax_width": 40.0}


def test_the_ratio_needs_no_size_of_pixels_and_does_not_change_with_the_side():
    heart, lungs = thorax()
    assert cardiothoracic(heart, lungs, pixel_mm=None) == {"cardiothoracic_ratio": 30 / 80}
    assert cardiothoracic(heart[::-1], lungs[::-1], pixel_mm=None) == {"cardiothoracic_ratio": 30 / 80}


def test_the_thorax_is_not_wider_than_any_one_height():
    """One lung far out above, the other far out below: the bounding box of both would be too wide."""
    heart, lungs = np.zeros((100, 10, 1), bool), np.zeros((100, 10, 1), bool)
    heart[45:55, 5] = lungs[0:40, 2] = lungs[60:80, 2] = lungs[20:40, 8] = lungs[60:100, 8] = True
    assert cardiothoracic(heart, lungs, pixel_mm=None) == {"cardiothoracic_ratio": 10 / 80}


@pytest.mark.parametrize("missing", ["heart", "lungs"])
def test_nothing_is_measured_on_what_is_not_drawn(missing):
    masks = dict(zip(("heart", "lungs"), thorax(), strict=True))
    masks[missing] = np.zeros_like(masks[missing])
    assert cardiothoracic(masks["heart"], masks["lungs"], pixel_mm=1.0) == {}


@pytest.mark.parametrize("overlapping", [True, False])
def test_a_drawing_is_measured_only_if_both_lungs_are_in_it(overlapping):
    labels = label_set("cardiomediastinum", "lung_left", "lung_right", overlapping=overlapping)
    array = np.zeros((20, 4, 1), np.uint8)
    for place, name in enumerate(("lung_right", "cardiomediastinum", "lung_left")):
        array[6 * place : 6 * place + 6] = labels.values[name]
    ratio, heart, _ = anatomy_measured(array, labels, task="cxr_anatomy", model_version="v1", pixel_mm=2.0)
    assert (ratio.value, heart.value) == (0.333, 12.0)
    array[12:18] = 0
    assert anatomy_measured(array, labels, task="cxr_anatomy", model_version="v1", pixel_mm=2.0) == ()


def test_opacities_count_within_the_lungs_alone():
    lungs, opacity = np.zeros((20, 10, 1), bool), np.zeros((20, 10, 1), bool)
    lungs[:10], opacity[8:20] = True, True
    assert opacity_share(opacity, lungs) == {"opacity_share": pytest.approx(20.0)}
    assert opacity_share(opacity, np.zeros_like(lungs)) == {}


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(GeometryError, match="one shape"):
        cardiothoracic(np.ones((2, 2, 1), bool), np.ones((3, 2, 1), bool), pixel_mm=None)
    with pytest.raises(GeometryError, match="one shape"):
        opacity_share(np.ones((2, 2, 1), bool), np.ones((3, 2, 1), bool))


def test_a_measurement_comes_back_from_json_and_is_told_in_words():
    made = (
        Measurement(name="cardiothoracic_ratio", value=0.51666, task="cxr_anatomy", model_version="v2"),
        Measurement(name="heart_width", value=141.96, task="cxr_anatomy", model_version="v2"),
    )
    assert measurements_in(json.loads(json.dumps([one.to_json() for one in made]))) == made
    assert in_words(made) == "Cardiothoracic ratio 0.517, Transverse diameter of heart 142.0 mm"
    assert measurements_in(None) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"name": "heart_widht"}, "heart_width"), ({"value": -1.0}, "at least 0"), ({"value": np.nan}, "finite")],
)
def test_a_measurement_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(InvalidInputError, match=said):
        Measurement(**{"name": "heart_width", "value": 1.0, "task": "cxr_anatomy", "model_version": "v1", **wrong})


def test_units_are_those_of_ucum_as_pydicom_has_them():
    known = {"1": codes.UCUM.NoUnits, "mm": codes.UCUM.Millimeter, "%": codes.UCUM.Percent}
    for quantity in QUANTITIES.values():
        unit = known[quantity.unit.value]
        assert (quantity.unit.value, quantity.unit.scheme) == (unit.value, unit.scheme_designator)
