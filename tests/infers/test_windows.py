"""Windows cover the volume, waste little, and their weights sum to one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map

from carina.errors import InvalidInputError
from carina.infers.windows import AxisWindows, plan_windows

sizes = st.tuples(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150))


@given(shape=sizes, overlap=st.sampled_from([0.0, 0.25, 0.4, 0.6]), multiple=st.sampled_from([1, 4, 8, 16]))
@settings(max_examples=150, deadline=None)
def test_windows_cover_every_voxel_with_the_overlap_asked_for(shape, overlap, multiple):
    plan = plan_windows(shape, roi_voxels=(48, 48, 48), overlap=overlap, multiple=multiple)
    for axis in plan.axes:
        gaps = np.diff(axis.starts)
        assert axis.window % multiple == 0
        assert axis.starts[0] == 0
        assert axis.starts[-1] + axis.window >= axis.size
        assert axis.window < axis.size + multiple
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
        assert (gaps <= math.ceil(axis.window * (1 - overlap))).all()
    assert math.prod(plan.window) <= 48**3


@given(shape=sizes)
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_at_every_voxel(shape):
    plan = plan_windows(shape, roi_voxels=(32, 32, 32), overlap=0.25, multiple=8)
    for axis in plan.axes:
        total = np.zeros(max(axis.size, axis.window))
        for start, weights in zip(axis.starts, axis.weights(), strict=True):
            total[start : start + axis.window] += weights
        np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_weights_follow_monais_gaussian():
    lone, wide = AxisWindows(200, 96, (0, 104)).weights()
    expected = compute_importance_map((96,), mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(lone[:96], 1.0)
    np.testing.assert_allclose(wide[:96], 1.0)
    first, second = AxisWindows(144, 96, (0, 48)).weights()
    np.testing.assert_allclose(first[48:] / second[:48], expected[48:] / expected[:48], rtol=1e-2)


def test_thin_volume_never_passes_more_than_its_padded_slices():
    plan = plan_windows((333, 180, 27), roi_voxels=(96, 96, 96), overlap=0.25, multiple=8)
    assert plan.axes[2].voxels == 32
    assert plan.voxels <= 1.5 * 333 * 180 * 32


def test_small_volume_is_one_window():
    plan = plan_windows((50, 61, 70), roi_voxels=(96, 96, 96), overlap=0.25, multiple=8)
    assert plan.count == 1
    assert plan.window == (56, 64, 72)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 3.0])
def test_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(InvalidInputError, match="Overlap"):
        plan_windows((10, 10, 10), roi_voxels=(8, 8, 8), overlap=overlap, multiple=8)


def test_slab_axis_is_the_one_with_the_smallest_layer():
    plan = plan_windows((40, 300, 100), roi_voxels=(32, 32, 32), overlap=0.0, multiple=8)
    assert plan.slab_axis() == 1
