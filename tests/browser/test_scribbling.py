"""Strokes painted inside and outside of a structure reach the server, and its answer becomes the segment."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from .doing import RENDERED, open_case, said
from .onscreen import by_instance, labels_on_screen, same

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

INSIDE, OUTSIDE = 3, 2
LUNG_LEFT = 1
"""The segment's index in the task whose labels are drawn."""
_SHOWN = """() => {
  const [engine] = window.cornerstone.getRenderingEngines();
  const viewport = engine.getViewports().find(({element}) => element.querySelector("canvas"));
  return window.cornerstone.metaData.get("instance", viewport.getCurrentImageId()).SOPInstanceUID;
}"""
_SHOW_SLICE = """(imageIndex) => {
  const [engine] = window.cornerstone.getRenderingEngines();
  const viewport = engine.getViewports().find(({element}) => element.querySelector("canvas"));
  return window.cornerstone.utilities.jumpToSlice(viewport.element, {imageIndex});
}"""
_ON_PAGE = """(point) => {
  const [engine] = window.cornerstone.getRenderingEngines();
  const viewport = engine.getViewports().find(({element}) => element.querySelector("canvas"));
  const {left, top} = viewport.canvas.getBoundingClientRect();
  const [x, y] = viewport.worldToCanvas(point);
  return [x + left, y + top];
}"""
_THIN_BRUSH = """() => {
  const {ToolGroupManager, utilities} = window.cornerstoneTools;
  for (const {id} of ToolGroupManager.getAllToolGroups()) utilities.segmentation.setBrushSizeForToolGroup(id, 6);
}"""


def test_a_structure_is_cut_out_by_strokes_inside_and_outside_of_it(page, place, tmp_path):
    phantom, series = place.phantoms[1], place.series[1]
    structure = phantom.label.array == phantom.structures["lung_left"]
    affine = phantom.label.grid.affine_ras
    panel = open_case(page, place, 1)
    panel.locator("#empty").click()
    panel.locator("#segment-1").wait_for()
    order = list(by_instance(np.zeros((1, 1, len(series.files))), series.files))
    heart = phantom.label.array == phantom.structures["heart"]
    k = int((structure.sum(axis=(0, 1)) * heart.any(axis=(0, 1))).argmax())
    page.wait_for_function(RENDERED)
    page.evaluate(_SHOW_SLICE, k if order[0] == page.evaluate(_SHOWN) else len(order) - 1 - k)
    page.wait_for_function(f"(uid) => ({_SHOWN})() === uid", arg=order[k])
    page.wait_for_function(RENDERED)

    panel.locator("#strokes-inside", has_text="Inside lung left").click()
    panel.locator("#strokes-inside[aria-pressed=true]").wait_for()
    page.evaluate(_THIN_BRUSH)
    _paint(page, affine, _deepest(structure, k))
    panel.locator("#strokes-outside").click()
    panel.locator("#strokes-outside[aria-pressed=true]").wait_for()
    _paint(page, affine, _deepest(heart, k))
    strokes = _painted(page, series)
    assert (strokes == INSIDE).sum() > 5
    assert (strokes == OUTSIDE).sum() > 5
    assert structure[strokes == INSIDE].all()

    panel.locator("#strokes-cut").click()
    said(panel, "Cut out lung left")
    panel.locator("#strokes-clear").click()
    panel.locator("#strokes-clear").wait_for(state="detached")
    panel.locator("li.active #segment-1").wait_for()
    expected = _answer(place, series, nib.Nifti1Image(strokes, affine), tmp_path)
    assert (expected & structure).sum() > 0.8 * structure.sum()
    assert same(labels_on_screen(page), by_instance(np.where(expected, LUNG_LEFT, 0), series.files))
    panel.locator("#submit", has_text="Submit changes").wait_for()


def _deepest(mask: np.ndarray, k: int) -> np.ndarray:
    """The voxel of a slice that lies deepest in a mask."""
    depth = ndimage.distance_transform_edt(mask[:, :, k])
    return np.array([*np.unravel_index(depth.argmax(), depth.shape), k])


def _paint(page, affine_ras: np.ndarray, voxel: np.ndarray) -> None:
    """A short stroke through the middle of a voxel that is shown."""
    lps = nib.affines.apply_affine(affine_ras, voxel) * [-1, -1, 1]
    x, y = page.evaluate(_ON_PAGE, lps.tolist())
    page.mouse.move(x - 4, y)
    page.mouse.down()
    page.mouse.move(x + 4, y, steps=4)
    page.mouse.up()


def _painted(page, series) -> np.ndarray:
    """`(X, Y, Z)` values of the strokes on screen, in the order of the server's image."""
    slices = labels_on_screen(page)
    order = by_instance(np.zeros((1, 1, len(series.files))), series.files)
    return np.stack([slices[uid].T for uid in order], axis=-1)


def _answer(place, series, strokes: nib.Nifti1Image, folder) -> np.ndarray:
    """What the server cuts out by the same strokes, asked for without a viewer and with its usual values."""
    nib.save(strokes, folder / "strokes.nii.gz")
    with place.api as api:
        answer = api.post(
            "/infer/scribbles",
            params={"image": series.series_instance_uid, "output": "image"},
            data={"params": json.dumps({"result_extension": ".nii.gz"})},
            files={"label": ("strokes.nii.gz", (folder / "strokes.nii.gz").read_bytes())},
        ).raise_for_status()
    (folder / "answer.nii.gz").write_bytes(answer.content)
    return np.asarray(nib.load(folder / "answer.nii.gz").dataobj) > 0
