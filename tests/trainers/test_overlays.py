"""The picture shows the labelled slice upright, one panel per label map."""

from __future__ import annotations

import numpy as np
from PIL import Image

from carina.trainers.overlays import write_overlay

from .conftest import draw_toy


def test_draws_every_panel_in_the_labels_colours(tmp_path, spec):
    image, label = draw_toy(0)
    empty = type(label)(np.zeros_like(label.array), label.grid)
    path = tmp_path / "overlay.png"
    write_overlay(path, image, [("before", empty), ("reference", label)], labels=spec.labels)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    coloured = np.ptp(pixels, axis=2) > 40
    half = pixels.shape[1] // 2
    assert not coloured[:, :half].any()
    assert coloured[:, half:].mean() > 0.02
    assert [entry.name for entry in tmp_path.iterdir()] == ["overlay.png"]
