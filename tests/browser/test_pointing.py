"""A click on the image reaches the server as the voxel it is on, and the draft follows it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from .doing import RENDERED, open_case, said
from .onscreen import labels_on_screen
from .pictures import keep_picture
from .serving import CLICKS_TASK
from .where import drawn, lps_at, voxel_at

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

BALL = 5
"""Squared radius in voxels of what the network draws around a click: there the click's Gaussian falls to a half."""


def test_a_click_on_the_image_reaches_its_voxel_and_the_draft_follows_it(page, place, tmp_path):
    series = place.series[1]
    panel = open_case(page, place, 1)
    panel.locator("#task").select_option(CLICKS_TASK)
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")
    assert not any(slice_.any() for slice_ in labels_on_screen(page).values())

    panel.locator("#segment-2").click()
    panel.locator("#points-inside", has_text="In spine").click()
    inside = _click(page, -30, 20)
    panel.locator("#points", has_text=re.compile("^spine 1$")).wait_for()
    panel.locator("#points-outside").click()
    outside = _click(page, 40, -25)
    panel.locator("#points", has_text=re.compile("^spine 1 · background 1$")).wait_for()
    _click(page, 70, 40)
    panel.locator("#points", has_text="background 2").wait_for()
    panel.locator("#points-undo").click()
    panel.locator("#points", has_text=re.compile("background 1$")).wait_for()
    page.locator("[data-cy=viewport-pane] svg text", has_text="spine").wait_for()
    with page.expect_request(lambda request: f"/infer/{CLICKS_TASK}" in request.url) as asked:
        panel.locator("#points-correct").click()
    said(panel, "Correct it, then submit")
    keep_picture(page, "ohif-points")

    affine = place.draft(series, tmp_path).affine
    params = json.loads(re.search(r"\{.*\}", asked.value.post_data)[0])
    assert params["spine"] == [voxel_at(affine, inside)]
    assert params["background"] == [voxel_at(affine, outside)]
    answer = drawn(page, series)
    away = np.indices(answer.shape) - np.reshape(voxel_at(affine, inside), (3, 1, 1, 1))
    assert np.array_equal(answer, np.where((away**2).sum(axis=0) <= BALL, 2, 0))
    panel.locator("li.active #segment-2").wait_for()

    panel.locator("#points-outside[aria-pressed=true]").click()
    panel.locator("#points-outside[aria-pressed=false]").wait_for()
    panel.locator("#points-inside[aria-pressed=false]").wait_for()


def _click(page, right: int, down: int) -> list[float]:
    """Click beside the middle of the image; where that is in the patient (LPS mm), as Cornerstone has it."""
    page.wait_for_function(RENDERED)
    box = page.locator("[data-cy=viewport-pane] canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2 + right, box["y"] + box["height"] / 2 + down
    page.mouse.click(x, y)
    return lps_at(page, x, y)
