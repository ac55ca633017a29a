"""The older OHIF inside the monailabel wheel: MONAI Label's own panel draws a draft, and asks for a case."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from carina.server.running import RunningServer
from carina.settings import Settings
from carina.viewer.build import find_build

from ..plugins import plugin_path
from .serving import PLUGIN, TASK, plugin_network

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

_DRAFT = """() => {
  const {cornerstone, cornerstoneTools} = window;
  const {representationData, segments} = cornerstoneTools.segmentation.state.getSegmentations().at(-1);
  const volume = cornerstone.cache.getVolume(representationData.Labelmap.volumeId);
  const values = new Uint8Array(volume.voxelManager.getCompleteScalarDataArray());
  if (!values.some(Boolean)) return null;
  return {
    size: volume.dimensions,
    names: Object.fromEntries(Object.values(segments).filter(Boolean).map((one) => [one.label, one.segmentIndex])),
    data: btoa(Array.from(values, (value) => String.fromCharCode(value)).join("")),
  };
}"""


@pytest.fixture
def fallback(place, tmp_path) -> Iterator[RunningServer]:
    """A server that finds no other OHIF than the wheel's, before the PACS of the others."""
    address = place.server.address
    settings = Settings(home=tmp_path / "home", port=0)
    (settings.models_dir / TASK).mkdir(parents=True)
    torch.save(plugin_network().weights(), settings.models_dir / TASK / "model.pt")
    environment = {"PYTHONPATH": plugin_path(tmp_path, PLUGIN), "CARINA_OHIF": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARINA_OHIF", str(tmp_path))
        assert not find_build().extensible
    with RunningServer(
        settings,
        store_url=f"orthanc+{address.pacs_url}",
        credentials=(address.pacs_user or "", address.pacs_password or ""),
        environment=environment,
    ) as server:
        yield server


@pytest.fixture
def old_page(chromium) -> Iterator:
    """A page of its own: the old build asks for fonts elsewhere, which the Content-Security-Policy refuses."""
    context = chromium.new_context(viewport={"width": 1200, "height": 700})
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    yield opened
    context.close()


def test_the_wheels_own_viewer_draws_a_draft_on_its_voxels_and_is_given_the_next_case(
    old_page, place, fallback, tmp_path
):
    page, series = old_page, place.series[0]
    page.goto(f"{fallback.url}/ohif/monai-label?StudyInstanceUIDs={series.study_instance_uid}")
    page.locator("canvas").first.wait_for()
    address = page.locator("#monailabelServerURL")
    address.wait_for()
    assert address.input_value() == f"{fallback.url}/"
    page.locator(".settingsTable button").first.click()
    page.locator(f"select.selectBox option[value={TASK}]").first.wait_for(state="attached")
    page.locator("select.selectBox").first.select_option(TASK)
    page.locator("button[title='Run Segmentation']").first.click()
    drawn = page.wait_for_function(_DRAFT).json_value()
    values = np.frombuffer(base64.b64decode(drawn["data"]), np.uint8).reshape(drawn["size"], order="F")
    labels = np.zeros_like(values)
    for name, index in (("lung_left", 1), ("spine", 2)):
        labels[values == drawn["names"][name]] = index
    assert np.array_equal(labels, np.asarray(place.draft(series, tmp_path).dataobj))

    page.locator(".tab-label", has_text="Active Learning").click()
    page.get_by_text("Next Sample", exact=True).click()
    page.locator("td", has_text="BROWSER-").wait_for()
