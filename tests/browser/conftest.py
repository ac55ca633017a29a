"""Chromium before a real server: what every browser test needs, or a skip with the reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carina.phantoms.dicom import SeriesPaths
from carina.viewer.build import find_build

from .chromium import AGREED, ARGUMENTS, find_chromium
from .serving import Place, real_series, running_place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two cores are few for a browser, its server and another test process: two more tries, and the report says so."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="package")
def chromium() -> Iterator:
    """A headless Chromium; it ends with this folder, because its event loop is in the way of other tests."""
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


@pytest.fixture(scope="package")
def place(orthanc_installed: None, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with four phantom studies; who leaves labels behind before test_annotating takes the last."""
    with running_place(tmp_path_factory.mktemp("place"), studies=4) as made:
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
    opened.on("dialog", lambda dialog: dialog.accept())  # leaving with unsaved changes asks first
    opened.on("request", lambda request: problems.append(request.url) if _elsewhere(request.url) else None)
    opened.set_default_timeout(120_000)
    yield opened
    context.close()
    assert problems == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that looks for faults of accessibility."""
    file = Path(sys.prefix, "share", "carina", "axe", "axe.min.js")
    if not file.is_file():
        pytest.skip("axe-core is not installed: scripts/axe")
    return file.read_text(encoding="utf-8")


@pytest.fixture(params=["phantom", "ct_abdomen_jpeg2000"])
def series(request, place: Place) -> SeriesPaths:
    """An oblique phantom, and a patient's CT whose slices are JPEG 2000."""
    if request.param == "phantom":
        return place.series[0]
    folder = request.getfixturevalue("test_data") / request.param / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no real test data: {folder.parent.name} is not there")
    found = real_series(folder)
    place.store(found)
    return found


def _elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "blob:", "data:"))
