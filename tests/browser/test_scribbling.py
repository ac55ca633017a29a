"""Strokes and boxes drawn in the viewer reach the server, and its answer becomes the segment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from .doing import open_case, said
from .onscreen import by_instance, labels_on_screen, same
from .pictures import keep_picture
from .where import drawn, lps_at, on_page, show_slice, voxel_at

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

INSIDE, OUTSIDE = 3, 2
LUNG_LEFT = 1
"""The segment's index in the task whose labels are drawn."""
_THIN_BRUSH = """() => {
  const {ToolGroupManager, utilities} = window.cornerstoneTools;
  for (const {id} of ToolGroupManager.getAllToolGroups()) utilities.segmentation.setBrushSizeForToolGroup(id, 6);
}"""


@pytest.fixture
def panel(page, place):
    place.forget(place.series[1])
    panel = open_case(page, place, 1)
    panel.locator("#empty").click()
    panel.locator("#segment-1").wait_for()
    return panel


@pytest.fixture
def lung(place) -> np.ndarray:
    """`(X, Y, Z)` mask of the structure that is cut out."""
    phantom = place.phantoms[1]
    return phantom.label.array == phantom.structures["lung_left"]


def test_a_structure_is_cut_out_by_strokes_inside_and_outside_of_it(page, place, panel, lung, tmp_path):
    phantom, series = place.phantoms[1], place.series[1]
    affine = phantom.label.grid.affine_ras
    heart = phantom.label.array == phantom.structures["heart"]
    k = int((lung.sum(axis=(0, 1)) * heart.any(axis=(0, 1))).argmax())
    show_slice(page, series, k)

    panel.locator("#strokes-inside", has_text="Inside lung left").click()
    panel.locator("#strokes-inside[aria-pressed=true]").wait_for()
    page.evaluate(_THIN_BRUSH)
    _paint(page, affine, _deepest(lung, k))
    panel.locator("#strokes-outside").click()
    panel.locator("#strokes-outside[aria-pressed=true]").wait_for()
    _paint(page, affine, _deepest(heart, k))
    strokes = drawn(page, series)
    assert (strokes == INSIDE).sum() > 5
    assert (strokes == OUTSIDE).sum() > 5
    assert lung[strokes == INSIDE].all()

    panel.locator("#strokes-cut").click()
    said(panel, "Cut out lung left")
    keep_picture(page, "ohif-scribbles")
    panel.locator("#strokes-clear").click()
    panel.locator("#strokes-clear").wait_for(state="detached")
    panel.locator("li.active #segment-1").wait_for()
    expected = _answer(place, series, tmp_path, strokes=nib.Nifti1Image(strokes, affine))
    assert (expected & lung).sum() > 0.8 * lung.sum()
    assert same(labels_on_screen(page), by_instance(np.where(expected, LUNG_LEFT, 0), series.files))
    panel.locator("#submit", has_text="Submit changes").wait_for()


def test_a_structure_is_cut_out_of_the_boxes_around_it(page, place, panel, lung, tmp_path):
    series, affine = place.series[1], place.phantoms[1].label.grid.affine_ras
    middle = int(lung.sum(axis=(0, 1)).argmax())
    panel.locator("#strokes-box").click()
    panel.locator("#strokes-box[aria-pressed=true]").wait_for()
    corners = []
    for k in (middle - 2, middle + 3):
        show_slice(page, series, k)
        corners += _drag_around(page, affine, lung, k)
    with page.expect_request(lambda request: "/infer/scribbles" in request.url) as asked:
        panel.locator("#strokes-cut").click()
    said(panel, "Cut out lung left")

    voxels = np.array([voxel_at(affine, corner) for corner in corners])
    roi = np.stack([voxels.min(axis=0), voxels.max(axis=0) + 1], axis=1).ravel().tolist()
    assert roi[4:] == [middle - 2, middle + 4]
    assert json.loads(re.search(r"\{.*\}", asked.value.post_data)[0])["roi"] == roi
    panel.locator("#strokes-clear").click()
    panel.locator("#strokes-clear").wait_for(state="detached")
    panel.locator("#strokes-box[aria-pressed=false]").wait_for()
    expected = _answer(place, series, tmp_path, roi=roi)
    assert expected.any()
    assert same(labels_on_screen(page), by_instance(np.where(expected, LUNG_LEFT, 0), series.files))


def _deepest(mask: np.ndarray, k: int) -> np.ndarray:
    """The voxel of a slice that lies deepest in a mask."""
    depth = ndimage.distance_transform_edt(mask[:, :, k])
    return np.array([*np.unravel_index(depth.argmax(), depth.shape), k])


def _paint(page, affine_ras: np.ndarray, voxel: np.ndarray) -> None:
    """A short stroke through the middle of a voxel that is shown."""
    x, y = on_page(page, affine_ras, voxel)
    _drag(page, (x - 4, y), (x + 4, y))


def _drag_around(page, affine_ras: np.ndarray, mask: np.ndarray, k: int) -> list[list[float]]:
    """A box around a mask on the slice shown; both ends in the patient (LPS mm)."""
    inside = np.argwhere(mask[:, :, k])
    ends = [
        on_page(page, affine_ras, [*(inside.min(axis=0) - 1), k]),
        on_page(page, affine_ras, [*(inside.max(axis=0) + 1), k]),
    ]
    _drag(page, *ends)
    return [lps_at(page, *end) for end in ends]


def _drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def _answer(
    place, series, folder: Path, *, strokes: nib.Nifti1Image | None = None, roi: list[int] | None = None
) -> np.ndarray:
    """What the server cuts out by the same strokes or box, asked for without a viewer and with its usual values."""
    files = {}
    if strokes is not None:
        nib.save(strokes, folder / "strokes.nii.gz")
        files["label"] = ("strokes.nii.gz", (folder / "strokes.nii.gz").read_bytes())
    with place.api as api:
        answer = api.post(
            "/infer/scribbles",
            params={"image": series.series_instance_uid, "output": "image"},
            data={"params": json.dumps({"result_extension": ".nii.gz", **({"roi": roi} if roi else {})})},
            files=files,
        ).raise_for_status()
    (folder / "answer.nii.gz").write_bytes(answer.content)
    return np.asarray(nib.load(folder / "answer.nii.gz").dataobj) > 0
