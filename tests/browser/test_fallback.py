"""The older OHIF inside the monailabel wheel, before our server: its images, and what MONAI Label's own panel asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carina.viewer.build import find_build

from .serving import TASK, Place, running_place

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def fallback(orthanc_installed: None, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that finds no other OHIF than the wheel's."""
    folder = tmp_path_factory.mktemp("fallback")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARINA_OHIF", str(folder))
        assert not find_build().extensible
        with running_place(folder) as made:
            yield made


@pytest.fixture
def old_page(chromium) -> Iterator:
    """A page of its own: the old build asks for fonts elsewhere, which the Content-Security-Policy refuses."""
    context = chromium.new_context(viewport={"width": 1200, "height": 700})
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    yield opened
    context.close()


def test_the_wheels_own_viewer_shows_the_images_and_is_given_a_draft(old_page, fallback):
    series = fallback.series[0]
    page = old_page
    page.goto(f"{fallback.server.url}/ohif/monai-label?StudyInstanceUIDs={series.study_instance_uid}")
    page.locator("canvas").first.wait_for()
    address = page.locator("#monailabelServerURL")
    address.wait_for()
    assert address.input_value() == f"{fallback.server.url}/"
    page.locator(".settingsTable button").first.click()
    page.locator(".tab-label", has_text="Auto-Segmentation").click()
    page.locator("select.selectBox").first.select_option(TASK)
    with page.expect_response(lambda response: "/infer/" in response.url) as answer:
        page.locator("button[title='Run Segmentation']").click()
    assert answer.value.status == 200
    assert answer.value.body().startswith(b"NRRD")
