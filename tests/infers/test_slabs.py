"""Finalising slab by slab, with its shortcut, equals interpolating all scores of the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from carina.infers.slabs import NodeMap, SlabStitcher, label_map
from carina.preprocessing import AxisMap

CPU = torch.device("cpu")


def axes_for(shape, source, *, crop=0):
    def one(size, source_size):
        step = source_size / size
        axis = AxisMap((source_size - 1) / 2 - step * (size - 1) / 2, step, size, source_size)
        return axis.cropped(crop, size - crop) if crop and size > 2 * crop + 1 else axis

    return tuple(one(*pair) for pair in zip(shape, source, strict=True))


def smooth_scores(shape, classes, *, seed=0, sigma=1.5):
    noise = np.random.default_rng(seed).standard_normal((*shape, classes))
    return ndimage.gaussian_filter(noise, (sigma, sigma, sigma, 0)).astype(np.float32)


def whole_volume_labels(scores, axes):
    """Independent reference: every class interpolated by SciPy at every source voxel, then argmax."""
    labels = np.zeros([axis.source_size for axis in axes], dtype=np.uint8)
    covered = [axis.covered() for axis in axes]
    position = np.meshgrid(
        *[(np.arange(*ends) - axis.first) / axis.step for ends, axis in zip(covered, axes, strict=True)], indexing="ij"
    )
    each = [
        ndimage.map_coordinates(scores[..., index].astype(np.float64), position, order=1, mode="nearest")
        for index in range(scores.shape[-1])
    ]
    labels[tuple(slice(*ends) for ends in covered)] = np.argmax(each, axis=0)
    return labels


@pytest.mark.parametrize("source", [(31, 40, 17), (12, 12, 12), (50, 9, 33), (12, 30, 14)])
@pytest.mark.parametrize("sigma", [0.3, 1.5])
@pytest.mark.parametrize("crop", [0, 2])
def test_shortcut_equals_interpolating_every_class_everywhere(source, sigma, crop):
    axes = axes_for((12, 15, 14), source, crop=crop)
    scores = smooth_scores([axis.size for axis in axes], 7, sigma=sigma)
    out = np.zeros(source, dtype=np.uint8)
    label_map(torch.from_numpy(scores), tuple(NodeMap.of(axis, device=CPU) for axis in axes), out=out)
    expected = whole_volume_labels(scores, axes)
    assert len(np.unique(expected)) > 3
    # Only exact ties may fall differently, at the last bit of float32.
    assert (out != expected).mean() < 1e-4


def test_class_that_wins_at_no_node_can_still_win_between_two():
    scores = torch.tensor([[10.0, 0.0, 6.0], [0.0, 10.0, 6.0]]).reshape(2, 1, 1, 3)
    axes = (AxisMap(0.0, 4.0, 2, 5), AxisMap(0.0, 1.0, 1, 1), AxisMap(0.0, 1.0, 1, 1))
    out = np.zeros((5, 1, 1), dtype=np.uint8)
    label_map(scores, tuple(NodeMap.of(axis, device=CPU) for axis in axes), out=out)
    assert out.ravel().tolist() == [0, 0, 2, 1, 1]


@pytest.mark.parametrize("depth", [4, 7, 12])
@pytest.mark.parametrize("source_rows", [5, 12, 61])
def test_slab_by_slab_equals_the_whole_volume(depth, source_rows):
    axes = axes_for((24, 9, 8), (source_rows, 21, 8))
    scores = torch.from_numpy(smooth_scores((24, 9, 8), 5))
    whole = np.zeros((source_rows, 21, 8), dtype=np.uint8)
    label_map(scores, tuple(NodeMap.of(axis, device=CPU) for axis in axes), out=whole)
    slabs = np.zeros_like(whole)
    stitcher = SlabStitcher(axes, slabs, classes=5, depth=depth, device=CPU, dtype=torch.float32)
    starts = [*range(0, 24 - depth, max(1, depth - 2)), 24 - depth]
    ones = torch.ones((24, 9, 8))
    covered = torch.zeros(24)
    for start in starts:
        covered[start : start + depth] += 1
    for number, start in enumerate(starts):
        part = slice(start, start + depth)
        weights = ones[part] / covered[part, None, None]
        stitcher.add(scores[part].permute(3, 0, 1, 2), weights, (start, 0, 0))
        stitcher.finish_below(starts[number + 1] if number + 1 < len(starts) else 24)
    assert (slabs != whole).mean() < 1e-3


def test_only_the_covered_region_is_written():
    axes = axes_for((12, 12, 12), (24, 24, 24), crop=3)
    out = np.full((24, 24, 24), 99, dtype=np.uint8)
    label_map(torch.ones((6, 6, 6, 2)), tuple(NodeMap.of(axis, device=CPU) for axis in axes), out=out)
    inside = np.zeros_like(out, dtype=bool)
    inside[6:18, 6:18, 6:18] = True
    assert (out[inside] == 0).all()
    assert (out[~inside] == 99).all()


def test_float16_scores_give_nearly_the_same_labels():
    axes = axes_for((12, 15, 14), (31, 40, 17))
    scores = smooth_scores((12, 15, 14), 7) * 20
    stitched = np.zeros((31, 40, 17), dtype=np.uint8)
    stitcher = SlabStitcher(axes, stitched, classes=7, depth=12, device=CPU, dtype=torch.float16)
    stitcher.add(torch.from_numpy(scores).permute(3, 0, 1, 2), torch.ones((12, 15, 14)), (0, 0, 0))
    stitcher.finish_below(12)
    assert (stitched != whole_volume_labels(scores, axes)).mean() < 5e-3
