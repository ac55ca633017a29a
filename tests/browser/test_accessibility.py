"""The panel by keyboard alone, and what axe finds in it and in the landing page."""

from __future__ import annotations

import pytest

from .doing import faults, open_case, said
from .pictures import keep_picture
from .serving import CLICKS_TASK, TASK

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

_FOCUSED = """() => {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  return focused?.id ?? "";
}"""
_MOST_TABS = 150


def go_to(page, wanted: str) -> None:
    """Press Tab until a control of the panel has the focus."""
    for _ in range(_MOST_TABS):
        if page.evaluate(_FOCUSED) == wanted:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches #{wanted}")


def test_a_case_is_drafted_and_submitted_without_a_mouse(page, place):
    page.goto(place.page(3))
    panel = page.locator("carina-panel")
    panel.locator("#task").wait_for()
    go_to(page, "user")
    page.keyboard.type("keyboard-test")
    go_to(page, "task")
    for _ in range(panel.locator("#task option").count()):
        if panel.locator("#task").input_value() != TASK:
            page.keyboard.press("ArrowDown")
    assert panel.locator("#task").input_value() == TASK
    go_to(page, "draft-start")
    page.keyboard.press("Enter")
    said(panel, "Correct it, then submit")
    go_to(page, "segment-2")
    page.keyboard.press("Space")
    go_to(page, "submit")
    page.keyboard.press("Enter")
    said(panel, "in the PACS as a SEG")


def test_axe_finds_no_serious_fault_in_the_panel(page, place, axe):
    panel = open_case(page, place)
    panel.locator("#task").select_option(CLICKS_TASK)  # its draft has every section
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")
    panel.locator("#points-inside").click()
    panel.locator("#points-inside[aria-pressed=true]").wait_for()
    assert faults(page, axe, "carina-panel") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_the_landing_page(page, place, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(place.server.url)
    page.locator("#tasks th").first.wait_for()
    if scheme == "light":
        keep_picture(page, "landing")
    assert faults(page, axe, "body") == []
