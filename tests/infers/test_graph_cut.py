from __future__ import annotations

import numpy as np
import pytest

from carina.errors import CancelledError, InvalidInputError
from carina.infers.graph_cut import BACKGROUND, FOREGROUND, graph_cut
from carina.models.metrics import dice

SPACING = (1.0, 1.2, 3.0)


@pytest.fixture(scope="module")
def case():
    """Two noisy balls of one density in a softer surrounding, strokes in and around the first."""
    shape = (60, 50, 20)
    x, y, z = (index * step for index, step in zip(np.indices(shape), SPACING, strict=True))

    def ball(centre):
        return sum((axis - at) ** 2 for axis, at in zip((x, y, z), centre, strict=True)) < 11.0**2

    truth, other = ball((18, 25, 30)), ball((46, 40, 30))
    noise = np.random.default_rng(0).normal(0, 25, shape)
    image = (np.where(truth | other, 100, 0) + noise).astype(np.int16)
    seeds = np.zeros(shape, np.uint8)
    seeds[15:21, 20, 10] = FOREGROUND
    seeds[2:40, 2:4, 10] = BACKGROUND
    return image, seeds, truth, other


def cut(case, **options):
    image, seeds, *_ = case
    return graph_cut(image, seeds, spacing_mm=SPACING, **options)


def test_a_stroke_inside_and_one_outside_cut_the_structure_out(case):
    mask = cut(case)
    assert mask.dtype == bool
    assert dice(mask, case[2]) > 0.97
    assert not (mask & case[3]).any()


def test_what_does_not_touch_a_stroke_is_kept_on_wish(case):
    assert dice(cut(case, connected=False), case[2] | case[3]) > 0.9


def test_a_coarser_graph_still_finds_the_border(case):
    assert dice(cut(case, most_voxels=15_000), case[2]) > 0.9


def test_strokes_hold_at_full_resolution_whatever_the_intensities_say(case):
    image, seeds, *_ = case
    seeds = seeds.copy()
    seeds[18, 22, 11] = BACKGROUND
    seeds[55, 5, 3] = FOREGROUND
    mask = graph_cut(image, seeds, spacing_mm=SPACING, most_voxels=15_000)
    assert not mask[18, 22, 11]
    assert mask[55, 5, 3]


def test_more_smoothness_never_lengthens_the_border(case):
    def border(mask):
        return sum(np.count_nonzero(np.diff(mask.astype(np.int8), axis=axis)) for axis in range(3))

    lengths = [border(cut(case, smoothness=weight, connected=False)) for weight in (0.0, 0.3, 1.0, 3.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]


def test_foreground_alone_is_enough(case):
    image, seeds, truth, _ = case
    alone = np.where(seeds == FOREGROUND, seeds, 0).astype(np.uint8)
    assert dice(graph_cut(image, alone, spacing_mm=SPACING), truth) > 0.9


def test_nothing_marked_is_refused_in_words(case):
    with pytest.raises(InvalidInputError, match="Paint some"):
        graph_cut(case[0], np.zeros_like(case[1]), spacing_mm=SPACING)


def test_intensities_that_are_not_finite_are_refused(case):
    image = case[0].astype(np.float32)
    image[0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match="finite"):
        graph_cut(image, case[1], spacing_mm=SPACING)


def test_can_be_cancelled_before_the_cut(case):
    with pytest.raises(CancelledError):
        cut(case, cancelled=lambda: True)


def test_an_intensity_that_nobody_painted_is_outside(case):
    """Two strokes never show all there is around a structure."""
    image, seeds, truth, other = case
    foreign = image.copy()
    foreign[~(truth | other)] += np.where(np.indices(image.shape)[0] > 30, -400, 0)[~(truth | other)].astype(np.int16)
    assert not (seeds[31:40] == BACKGROUND).all()
    narrow = np.where(np.indices(image.shape)[0] > 30, 0, seeds).astype(np.uint8)
    mask = graph_cut(foreign, narrow, spacing_mm=SPACING, connected=False)
    assert not mask[31:][~other[31:]].any()
