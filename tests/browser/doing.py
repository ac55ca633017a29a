"""What a reader does in the viewer, with mouse and keyboard."""

from __future__ import annotations

from .serving import TASK

RENDERED = """() => {
  const viewports = window.cornerstone.getRenderingEngines().flatMap((engine) => engine.getViewports());
  return viewports.length > 0 && viewports.every(({viewportStatus}) => viewportStatus === "rendered");
}"""
"""Whether every viewport shows its image; what the mouse does before that is lost."""


_FAULTS = """async (selector) => {
  const { violations } = await axe.run(selector);
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => [id, String(target), failureSummary]));
}"""


def faults(page, axe: str, selector: str) -> list[list[str]]:
    """The serious faults of accessibility that axe finds in a part of the page."""
    page.evaluate(axe)
    return page.evaluate(_FAULTS, selector)


def open_case(page, place, number: int = 0, *, task: str = TASK):
    """Open a phantom's study as the reader `browser-test`; returns the panel."""
    return open_series(page, place, place.series[number], task=task)


def open_series(page, place, series, *, task: str = TASK):
    """Open a series' study as the reader `browser-test`; returns the panel."""
    page.goto(place.page_of(series))
    panel = page.locator("carina-panel")
    panel.locator("#task").select_option(task)
    panel.locator("#user").fill("browser-test")
    panel.locator("#user").press("Tab")
    return panel


def said(panel, words: str) -> None:
    """Wait until the panel says so; it gives up at once when the panel says that something went wrong."""
    panel.locator("#message.bad", has_not_text=words).or_(panel.locator("#message", has_text=words)).wait_for()
    assert words in panel.locator("#message").inner_text()


def paint(page) -> None:
    """One stroke with OHIF's own brush across the middle of the slice."""
    page.locator("[data-cy=Brush-btn]").click()
    page.locator("[data-cy=brush-radius]").wait_for()
    page.wait_for_function(RENDERED)
    box = page.locator("[data-cy=viewport-pane] canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y)
    page.mouse.down()
    page.mouse.move(x, y + 15, steps=4)
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()


def drafted(page, place, series):
    """Open a series and have it drafted; returns the panel."""
    panel = open_series(page, place, series)
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")
    return panel


def unfold(panel, part: str) -> None:
    """Open a part of the panel that is folded away."""
    if panel.locator(f"details#{part}[open]").count() == 0:
        panel.locator(f"details#{part} summary").click()


def confirm(panel, reason: str | None = None) -> None:
    """Say yes to the question on screen."""
    if reason is not None:
        panel.locator("dialog #reason").fill(reason)
    panel.locator("dialog #yes").click()
