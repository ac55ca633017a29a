"""Changes do what their names say, on images that are not square, and leave the original alone."""

from __future__ import annotations

import numpy as np
import pytest

from carina.audit.changes import CORNERS, perturbations, with_marker, without_corners, without_region
from carina.geometry import Grid, Volume

SHAPE = (60, 90, 1)


@pytest.fixture
def image():
    random = np.random.default_rng(3)
    return Volume(random.integers(0, 4000, SHAPE).astype(np.uint16), Grid(SHAPE, np.eye(4)))


def test_region_has_the_level_around_it_and_the_rest_stays(image):
    array = np.full(SHAPE, 100, np.int16)
    array[40:] = 900
    mask = np.zeros(SHAPE, dtype=bool)
    mask[20:30, 30:60] = True
    array[mask] = 500

    changed = without_region(Volume(array, image.grid), mask).array

    assert (changed[mask] == 100).all()
    assert (changed[40:] == 900).all()
    assert (array[mask] == 500).all()


def test_corners_are_flat_and_nothing_else_changes(image):
    changed = without_corners(image).array != image.array
    assert changed[:10, :15].mean() > 0.9
    assert changed[-10:, -15:].mean() > 0.9
    assert not changed[10:-10].any()
    assert not changed[:, 15:-15].any()


@pytest.mark.parametrize("corner", CORNERS)
def test_marker_is_a_bright_letter_in_its_corner(image, corner):
    changed = with_marker(image, corner).array
    where = np.argwhere(changed != image.array)
    assert (changed[tuple(where.T)] == image.array.max()).all()
    assert len(where) > 10
    assert (where[:, 0] < 20).all() == ("left" in corner)
    assert (where[:, 1] < 20).all() == ("top" in corner)


def test_letter_reads_as_an_r():
    flat = Volume(np.append(np.zeros(99 * 100), np.ones(100)).reshape(100, 100, 1), Grid((100, 100, 1), np.eye(4)))
    page = with_marker(flat, "top left").array[..., 0].T[3:10, 3:8]
    assert ["".join("#" if dot else "." for dot in row) for row in page] == [
        "####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#",
    ]  # fmt: skip


@pytest.mark.parametrize("name", list(perturbations("")))
def test_small_changes_change_little_but_something(image, name):
    smooth = np.add.outer(np.arange(60.0), np.arange(90.0))[..., None]
    before = Volume(smooth, image.grid)
    changed = perturbations("one")[name](before)
    moved = np.abs(changed.array - smooth)
    assert changed.array.shape == SHAPE
    assert 0 < moved.mean() < 0.12 * np.ptp(smooth)


def test_noise_of_an_image_is_the_same_in_every_audit(image):
    first, again, other = (perturbations(name)["noise"](image).array for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_moves_go_where_they_say(image):
    changes = perturbations("one")
    np.testing.assert_array_equal(changes["moved right"](image).array[1:], image.array[:-1])
    np.testing.assert_array_equal(changes["moved up"](image).array[:, :-2], image.array[:, 2:])
