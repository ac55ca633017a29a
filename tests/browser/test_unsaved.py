"""Work that was not submitted outlives its page; what is measured of it follows the mouse."""

from __future__ import annotations

import re

import numpy as np
import pytest

from carina.phantoms.chest import ChestPhantom

from .doing import drafted, open_case, paint, said
from .onscreen import by_instance, labels_on_screen, same
from .pictures import keep_picture

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

_BREAK_STORAGE = """
IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError"); };
"""
_KEPT_SINCE = """(moment) => {
  const kept = document.querySelector("carina-panel").shadowRoot.getElementById("kept");
  return kept && kept.getAttribute("datetime") > moment;
}"""
_SEGMENTATIONS = """() => {
  return window.cornerstoneTools.segmentation.state.getSegmentations().map(({segmentationId}) => segmentationId);
}"""
_HOTKEYS = """() => {
  const {hotkeyDefinitions} = window.extensionManager._hotkeysManager;
  return Object.values(hotkeyDefinitions).flatMap(({keys}) => keys);
}"""


def test_unsaved_changes_are_offered_after_a_reload_and_forgotten_once_submitted(page, place):
    panel = drafted(page, place, place.series[1])
    panel.locator("#segment-1").click()
    before = labels_on_screen(page)
    paint(page)
    drawn = page.evaluate("new Date().toISOString()")
    panel.locator("#segment-1 .overlap.changed").wait_for()
    page.wait_for_function(_KEPT_SINCE, arg=drawn)
    painted = labels_on_screen(page)
    _measures_are(panel, place.phantoms[1], place.series[1].files, painted, before)

    page.reload()
    panel = page.locator("carina-panel")
    offer = panel.locator(".offer", has_text="Your unsaved changes of")
    offer.wait_for()
    keep_picture(page, "ohif-unsaved")
    offer.locator(".restore").click()
    panel.locator("#submit", has_text="Submit changes").wait_for()
    assert same(labels_on_screen(page), painted)

    panel.locator("#submit").click()
    said(panel, "Stored as version")
    page.reload()
    panel.locator("#latest").wait_for()
    assert panel.locator(".offer").count() == 0
    panel.locator("#latest").click()
    panel.locator("#segment-1").wait_for()
    assert same(labels_on_screen(page), painted)

    (opened,) = page.evaluate(_SEGMENTATIONS)
    panel.locator("#latest").dblclick()
    page.wait_for_function(
        f"(opened) => {{ const all = ({_SEGMENTATIONS})(); return all[0] !== opened && !all[1]; }}", arg=opened
    )
    panel.locator("#segment-1 .overlap", has_text=re.compile("^1$")).wait_for()
    assert panel.locator("#submit").inner_text() == "Submit"


def test_a_browser_that_cannot_keep_changes_says_so_and_drawing_goes_on(page, place):
    page.add_init_script(_BREAK_STORAGE)
    panel = drafted(page, place, place.series[2])
    panel.locator("#not-kept", has_text="its storage is full").wait_for()
    paint(page)
    panel.locator("#segment-1 .overlap.changed").wait_for()
    assert panel.locator("#submit").is_enabled()


def test_keys_are_shown_work_and_are_none_of_ohif_s_own(page, place):
    panel = open_case(page, place, 2)
    panel.locator("#empty").or_(panel.locator("#latest")).first.click()
    panel.locator("#segment-2").wait_for()
    page.locator("[data-cy=viewport-pane] canvas").first.click()
    page.keyboard.press("?")
    rows = panel.locator("dialog#shortcuts kbd").all_inner_texts()
    keep_picture(page, "ohif-keys")
    taken = set(page.evaluate(_HOTKEYS))
    assert taken >= {"b", "e", "a", "n", "z"}
    ours = {row.lower().replace("shift ", "shift+") for row in rows}
    assert len(ours) == len(rows) >= 10
    assert not ours & {key.lower() for key in taken}
    page.keyboard.press("Escape")

    panel.locator("#segment-1").click()
    page.keyboard.press("j")
    panel.locator("li.active #segment-2").wait_for()
    page.keyboard.press("x")
    panel.locator("#shown-2[aria-pressed=false]").wait_for()
    page.keyboard.press("x")
    panel.locator("#shown-2[aria-pressed=true]").wait_for()
    panel.locator("#user").click()
    page.keyboard.press("j")
    assert len(panel.locator("#user").input_value()) == len("browser-test") + 1
    assert panel.locator("li.active #segment-2").count() == 1


def _measures_are(panel, phantom: ChestPhantom, files, labels, before) -> None:
    """What NumPy measures of the same voxels."""
    image = by_instance(phantom.image.array, files)
    ml = 1e-3 * abs(np.linalg.det(phantom.image.grid.affine_ras[:3, :3]))
    order = sorted(labels)
    drawn, was, hu = (np.stack([source[uid] for uid in order]) for source in (labels, before, image))
    for index in (1, 2):
        inside = drawn == index
        dice = 2 * (inside & (was == index)).sum() / (inside.sum() + (was == index).sum())
        row = panel.locator(f"#segment-{index}")
        row.locator(".density", has_text=re.compile(r"\d")).wait_for()
        values = [float(row.locator(name).inner_text()) for name in (".size", ".density", ".overlap")]
        assert values[0] == pytest.approx(ml * inside.sum(), abs=0.5)
        assert values[1] == pytest.approx(hu[inside].mean(), abs=0.5)
        assert values[2] == pytest.approx(dice, abs=1e-3)
