from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from carina.cli.overlay import write_comparison, write_overlay
from carina.geometry import Grid, Volume
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks


@pytest.fixture(params=["LPS", "RAI", "SAR"])
def phantom(request):
    return make_chest(3, shape=(48, 48, 48), orientation=request.param, noise_hu=0)


def _columns_of(pixels, colour):
    """Where a label's colour, half covering black, is in the picture: the columns of its pixels."""
    tint = 0.5 * np.asarray(colour)
    return np.argwhere(np.abs(pixels - tint).max(axis=2) <= 4)[:, 1]


def test_the_patients_left_is_on_the_right_of_the_axial_picture(tmp_path, phantom):
    spec = find_tasks().get("thorax_ct")
    black = Volume(np.full_like(phantom.image.array, -1000), phantom.image.grid)

    write_overlay(tmp_path / "a.png", black, phantom.label, spec)

    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=float)
    axial = pixels[:, : pixels.shape[1] // 3]
    left = _columns_of(axial, spec.labels.named("lung_left").colour)
    right = _columns_of(axial, spec.labels.named("lung_right").colour)
    assert len(left) > 500
    assert len(right) > 500
    assert left.mean() > right.mean() + 20


def test_a_comparison_has_one_column_per_label_map(tmp_path, phantom):
    spec = find_tasks().get("thorax_ct")
    empty = Volume(np.zeros_like(phantom.label.array), phantom.label.grid)
    black = Volume(np.full_like(phantom.image.array, -1000), phantom.image.grid)

    write_comparison(tmp_path / "b.png", black, {"truth": phantom.label, "nothing": empty}, spec)

    with Image.open(tmp_path / "b.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=float)
    above_legend = pixels[: int(pixels.shape[0] * 0.9)]
    columns = _columns_of(above_legend, spec.labels.named("lung_left").colour)
    assert len(columns) > 500
    assert columns.max() < pixels.shape[1] / 2


def test_the_legend_of_a_narrow_picture_is_not_cut_off(tmp_path):
    spec = find_tasks().get("cxr_anatomy")
    black = Volume(np.zeros((40, 50, 1), dtype=np.uint8), Grid((40, 50, 1), np.eye(4)))

    write_overlay(tmp_path / "c.png", black, black, spec)

    with Image.open(tmp_path / "c.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    written = np.argwhere(pixels[int(pixels.shape[0] * 0.85) :] > 100)[:, 1]
    assert len(written) > 100
    assert written.min() > 3
    assert written.max() < pixels.shape[1] - 4
