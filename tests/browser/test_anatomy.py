"""A draft lies on the anatomy it was drawn from, in what Cornerstone holds and in the pixels on screen."""

from __future__ import annotations

import re

import numpy as np
import pytest

from .doing import drafted
from .onscreen import by_instance, canvas_picture, expected_on_canvas, labels_on_screen, same
from .pictures import keep_picture

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]


def test_a_draft_lies_where_the_server_drew_it(page, place, series, tmp_path):
    panel = drafted(page, place, series)
    draft = place.draft(series, tmp_path)
    held = labels_on_screen(page)
    expected = by_instance(np.asarray(draft.dataobj), series.files)
    assert held.keys() == expected.keys()
    for index in np.unique(list(expected.values()))[1:]:
        assert np.abs(_centroid(held, index) - _centroid(expected, index)).max() < 1
    assert same(held, expected)

    panel.locator("#segment-2 .size", has_text=re.compile(r"\d")).wait_for()
    panel.locator("#segment-2").click()
    shown = canvas_picture(page)
    if series not in place.series:
        keep_picture(page, "ohif-abdomen")
    panel.locator("#all-shown").click()
    overlay = np.abs(shown - canvas_picture(page)).sum(axis=-1) > 0
    drawn = expected_on_canvas(page, draft) > 0
    assert overlay.shape == drawn.shape
    assert drawn.sum() > 500
    assert 2 * (overlay & drawn).sum() / (overlay.sum() + drawn.sum()) > 0.9
    voxel = shown.shape[0] / len(next(iter(held.values())))
    assert np.abs(np.argwhere(overlay).mean(axis=0) - np.argwhere(drawn).mean(axis=0)).max() < voxel


def _centroid(slices: dict[str, np.ndarray], index: int) -> np.ndarray:
    return np.argwhere(np.stack([slices[uid] for uid in sorted(slices)]) == index).mean(axis=0)
