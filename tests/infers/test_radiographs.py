"""2D tasks whose labels overlap, from a picture to its own pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from carina.geometry import Grid, Volume
from carina.infers.parts import as_classes, logits_of_parts
from carina.infers.sliding_window import predict
from carina.preprocessing import prepare
from carina.structures import label_set
from carina.task import NetworkSpec, Percentiles

from .builder import noise_volume, task

LABELS = label_set("lung_left", "lung_right", "airways", overlapping=True)
THRESHOLDS = (-0.4, 0.0, 0.5)


class Brighter(nn.Module):
    """A label is wherever the picture is brighter than its threshold, so labels lie within each other."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 4
        return torch.cat([x - threshold for threshold in THRESHOLDS], dim=1)


@pytest.fixture
def spec():
    return task(
        dimension=2,
        labels=LABELS,
        spacing_mm=None,
        matrix_voxels=(24, 32, 1),
        intensity=Percentiles(lower=0, upper=100),
        roi_voxels=(16, 16, 1),
        network=NetworkSpec(name="unet", arguments={"filters": (8, 8, 8)}),
    )


def picture(shape=(61, 50, 1)) -> Volume:
    array = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=shape), 6).astype(np.float32)
    return Volume(array, Grid(shape, np.diag([-1.0, -1.0, 1.0, 1.0])))


def test_every_label_is_drawn_on_the_pictures_own_grid(spec):
    volume = picture()
    label = predict(Brighter(), prepare(volume, spec), spec=spec, device="cpu")
    assert label.grid is volume.grid
    scaled = 2 * (volume.array - volume.array.min()) / np.ptp(volume.array) - 1
    for bit, threshold in enumerate(THRESHOLDS):
        drawn, expected = (label.array >> bit) & 1, scaled > threshold
        assert 2 * (drawn & expected).sum() / (drawn.sum() + expected.sum()) > 0.95


def test_any_size_becomes_the_matrix_and_covers_the_whole_picture(spec):
    for shape in ((61, 50, 1), (7, 90, 1)):
        prepared = prepare(picture(shape), spec)
        assert prepared.tensor.shape == (1, 24, 32, 1)
        extent = [size * step for size, step in zip(prepared.grid.shape, prepared.grid.spacing_mm, strict=True)]
        np.testing.assert_allclose(extent, shape)
        assert [axis.covered() for axis in prepared.axes] == [(0, size) for size in shape]


def test_grey_values_may_be_of_any_scale_and_unit(spec):
    volume = picture()
    other = Volume(volume.array * 4096 + 800, volume.grid)
    torch.testing.assert_close(prepare(volume, spec).tensor, prepare(other, spec).tensor, atol=1e-4, rtol=0)


def test_a_radiograph_placed_upright_in_the_patient_is_seen_as_the_page_it_is(spec):
    volume = picture()
    upright = np.array([[-1.0, 0, 0, 5], [0, 0, 1.0, 7], [0, -1.0, 0, 9], [0, 0, 0, 1]])
    placed = Volume(volume.array, Grid(volume.grid.shape, upright))
    torch.testing.assert_close(prepare(placed, spec).tensor, prepare(volume, spec).tensor)


def test_slices_of_a_volume_are_seen_one_by_one(spec):
    whole = dataclasses.replace(spec, matrix_voxels=None)
    volume = noise_volume((18, 20, 3), affine=np.eye(4))
    label = predict(Brighter(), prepare(volume, whole), spec=whole, device="cpu")
    assert label.array.shape == (18, 20, 3)


def test_parts_tell_each_label_against_the_background(spec):
    prepared = prepare(picture(), spec)
    parts = list(as_classes(logits_of_parts(Brighter(), prepared, spec=spec, device="cpu"), spec))
    assert {len(part) for part in parts} == {2}
    voxels = sum(part[0].numel() for part in parts)
    assert voxels == len(LABELS) * prepared.tensor.numel()
    torch.testing.assert_close(parts[0].softmax(dim=0)[1], parts[0][1].sigmoid())
