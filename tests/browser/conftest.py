"""Chromium before a real server: what every browser test needs, or a skip with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carina.viewer.build import find_build

from .chromium import AGREED, ARGUMENTS, find_chromium
from .serving import Place, running_place


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A headless Chromium; it ends with its module, because its event loop would be in the way of other tests."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: scripts/setup --dev")
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed: scripts/setup --dev")
    if not find_build().extensible:
        pytest.skip("the pinned OHIF is not installed: scripts/ohif")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place(orthanc_installed: None, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with three phantom studies."""
    with running_place(tmp_path_factory.mktemp("place"), studies=3) as made:
        yield made


@pytest.fixture
def page(chromium) -> Iterator:
    """A fresh page; at the end nothing may have gone wrong in it that nobody expected."""
    context = chromium.new_context(viewport={"width": 1200, "height": 700}, accept_downloads=False)
    context.add_init_script(AGREED)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console", lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None
    )
    opened.on("request", lambda request: problems.append(request.url) if _elsewhere(request.url) else None)
    opened.set_default_timeout(120_000)
    yield opened
    context.close()
    assert problems == []


def _elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "blob:", "data:"))
