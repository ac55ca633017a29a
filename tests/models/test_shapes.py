"""Coarse masks depend on neither place nor size of a patient; what shapes cannot explain is a least-squares rest."""

from __future__ import annotations

import numpy as np
import pytest

from carina.models.shapes import CoarseGrid, ShapeSpace, residuals_out_of_sample

CELLS = (8, 8, 8)


def ball(shape, centre, radius) -> np.ndarray:
    axes = zip(np.indices(shape), centre, radius, strict=True)
    return sum(((axis - middle) / half) ** 2 for axis, middle, half in axes) < 1


def coarse(mask: np.ndarray, spacing_mm=(1.0, 1.0, 1.0)) -> np.ndarray:
    return CoarseGrid.around(mask, spacing_mm=spacing_mm, cells=CELLS).shares(mask, (0, 0, 0))


def test_cells_hold_every_voxel_once():
    mask = ball((30, 30, 30), (14, 15, 13), (8, 9, 7))
    grid = CoarseGrid.around(mask, spacing_mm=(1.0, 1.0, 1.0), cells=CELLS)
    box = (slice(5, 25), slice(4, 27), slice(5, 22))
    shares = grid.shares(mask[box], tuple(axis.start for axis in box))
    assert shares.sum() * grid.cell.prod() == pytest.approx(mask.sum(), rel=1e-4)


def test_a_moved_larger_and_thinner_sliced_patient_looks_the_same():
    small = coarse(ball((60, 60, 60), (25, 30, 28), (16, 20, 12)))
    large = coarse(ball((80, 80, 40), (41, 42, 18), (24, 30, 9)), spacing_mm=(1.0, 1.0, 2.0))
    other = coarse(ball((60, 60, 60), (25, 30, 28), (12, 16, 20)))
    assert np.corrcoef(small, large)[0, 1] > 0.97
    assert np.corrcoef(small, other)[0, 1] < 0.9


def test_residuals_are_those_of_a_least_squares_fit():
    random = np.random.default_rng(0)
    masks = random.random((12, 2, 30)).astype(np.float32)
    space = ShapeSpace.of(masks)
    other = random.random((2, 30)).astype(np.float32)
    for structure in range(2):
        axes = space.axes[structure][np.abs(space.axes[structure]).sum(axis=1) > 0].T
        difference = other[structure] - masks[:, structure].mean(axis=0)
        weights, *_ = np.linalg.lstsq(axes, difference, rcond=None)
        rest = np.linalg.norm(difference - axes @ weights) / np.linalg.norm(masks[:, structure].mean(axis=0))
        assert space.residuals(other)[structure] == pytest.approx(rest, rel=1e-4)


def test_cases_left_out_are_explained_worse_than_those_learned_from():
    random = np.random.default_rng(1)
    masks = random.random((20, 1, 50)).astype(np.float32)
    space = ShapeSpace.of(masks)
    inside = np.mean([space.residuals(mask)[0] for mask in masks])
    assert residuals_out_of_sample(masks).mean() > 1.1 * inside
