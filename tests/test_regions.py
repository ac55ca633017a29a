"""The part of an image that is looked at has one size in the patient, wherever a person points."""

from __future__ import annotations

import json

import numpy as np
import pytest

from carina.errors import InvalidInputError
from carina.geometry import Grid, Volume
from carina.regions import place_from_json, region_at, same_place

GRID = Grid((60, 50, 20), np.diag([-0.5, -1.0, 2.5, 1.0]))


def sizes(region):
    return [axis.stop - axis.start for axis in region.box]


def test_a_click_is_in_the_middle_of_a_box_of_the_size_asked_for():
    region = region_at((30, 25, 10), GRID, size_mm=(10.0, 10.0, 10.0))
    assert sizes(region) == [20, 10, 4]
    for axis, at, step in zip(region.box, (30, 25, 10), GRID.spacing_mm, strict=True):
        middle = (axis.start + axis.stop) / 2
        assert abs(middle - (at + 0.5)) * step <= step / 2


def test_a_box_counts_by_its_middle():
    by_box = region_at(((28, 33), (20, 31), (10, 11)), GRID, size_mm=(10.0, 10.0, 10.0))
    assert by_box.box == region_at((30, 25, 10), GRID, size_mm=(10.0, 10.0, 10.0)).box


@pytest.mark.parametrize("place", [(0, 0, 0), (59, 49, 19)])
def test_at_a_border_the_box_keeps_its_size_and_holds_the_click(place):
    region = region_at(place, GRID, size_mm=(10.0, 10.0, 10.0))
    assert sizes(region) == [20, 10, 4]
    assert all(axis.start <= at < axis.stop for axis, at in zip(region.box, place, strict=True))


def test_an_image_that_is_smaller_gives_what_it_has():
    assert sizes(region_at((5, 5, 5), GRID, size_mm=(400.0, 10.0, 10.0))) == [60, 10, 4]


def test_what_is_cut_out_stays_where_it_was_in_the_patient():
    image = Volume(np.arange(60 * 50 * 20, dtype=np.float32).reshape(60, 50, 20), GRID)
    part = region_at((30, 25, 10), GRID, size_mm=(10.0, 10.0, 10.0)).crop(image)
    at = np.linalg.inv(GRID.affine_ras) @ part.grid.affine_ras @ [3, 2, 1, 1]
    assert part.array[3, 2, 1] == image.array[tuple(np.rint(at[:3]).astype(int))]


@pytest.mark.parametrize("place", [(60, 0, 0), (0, -1, 0), ((70, 90), (0, 2), (0, 2))])
def test_a_place_beside_the_image_is_refused(place):
    with pytest.raises(InvalidInputError, match=r"on its image of \(60, 50, 20\)"):
        region_at(place, GRID, size_mm=(10.0, 10.0, 10.0))


@pytest.mark.parametrize("place", [(1, 2, 3), ((1, 4), (2, 5), (3, 6))])
def test_a_place_is_the_same_after_json(place):
    sent = json.loads(json.dumps(place))
    assert same_place(sent, place)
    assert place_from_json(sent) == place
    assert not same_place(sent, (1, 2, 4))
    assert not same_place(None, place)
