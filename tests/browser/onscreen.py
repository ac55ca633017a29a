"""What a page shows, asked of Cornerstone itself rather than of carina's panel."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image

_LABELMAP = """() => {
  const {cornerstone, cornerstoneTools} = window;
  const segmentation = cornerstoneTools.segmentation.state.getSegmentations().at(-1);
  const {imageIds, referencedImageIds} = segmentation.representationData.Labelmap;
  return imageIds.map((id, index) => {
    const image = cornerstone.cache.getImage(id);
    const bytes = new Uint8Array(image.voxelManager.getScalarData());
    return [
      cornerstone.metaData.get("instance", referencedImageIds[index]).SOPInstanceUID,
      image.rows, image.columns, btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join("")),
    ];
  });
}"""


_DRAW = """(slices) => {
  const {cornerstone, cornerstoneTools: {segmentation: {state, triggerSegmentationEvents}}} = window;
  const segmentation = state.getSegmentations().at(-1);
  const {imageIds, referencedImageIds} = segmentation.representationData.Labelmap;
  imageIds.forEach((id, index) => {
    const uid = cornerstone.metaData.get("instance", referencedImageIds[index]).SOPInstanceUID;
    const bytes = Uint8Array.from(atob(slices[uid]), (letter) => letter.charCodeAt(0));
    cornerstone.cache.getImage(id).voxelManager.getScalarData().set(bytes);
  });
  triggerSegmentationEvents.triggerSegmentationDataModified(segmentation.segmentationId);
}"""


_PIXELS = """() => {
  const {cornerstone, cornerstoneTools} = window;
  const segmentation = cornerstoneTools.segmentation.state.getSegmentations().at(-1);
  const {referencedImageIds} = segmentation.representationData.Labelmap;
  const images = referencedImageIds.map((id) => cornerstone.cache.getImage(id));
  return images.filter(Boolean).map((image) => [
    cornerstone.metaData.get("instance", image.imageId).SOPInstanceUID,
    image.rows, image.columns, Array.from(image.getPixelData()),
  ]);
}"""


_CORNERS = """() => {
  const [engine] = window.cornerstone.getRenderingEngines();
  const viewport = engine.getViewports().find(({element}) => element.querySelector("canvas"));
  const {width, height} = viewport.canvas.getBoundingClientRect();
  const world = [[0, 0], [width, 0], [0, height]].map((point) => Array.from(viewport.canvasToWorld(point)));
  return {size: [Math.round(width), Math.round(height)], world};
}"""


def expected_on_canvas(page, label: nib.Nifti1Image) -> np.ndarray:
    """`(height, width)` label indices where a server's label map must appear on the canvas, by patient coordinates.

    Drawn here from the NIfTI file alone: each pixel's place in the patient, and the voxel that is there.
    """
    corners = page.evaluate(_CORNERS)
    (width, height), world = corners["size"], np.array(corners["world"]) * [-1, -1, 1]  # LPS to RAS
    across, down = (world[1] - world[0]) / width, (world[2] - world[0]) / height
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = world[0] + columns[..., None] * across + rows[..., None] * down
    voxels = np.rint(nib.affines.apply_affine(np.linalg.inv(label.affine), places)).astype(int)
    inside = np.all((voxels >= 0) & (voxels < label.shape), axis=-1)
    voxels[~inside] = 0
    return np.where(inside, np.asarray(label.dataobj)[tuple(np.moveaxis(voxels, -1, 0))], 0)


_CANVAS_ALONE = "* { visibility: hidden !important } canvas { visibility: visible !important }"
"""Tooltips and messages that come and go lie over the canvas, and would be taken for what is drawn on it."""


def canvas_picture(page) -> np.ndarray:
    """`(height, width, 3)` screenshot of the first viewport's canvas alone, once it has been the same for a second."""
    canvas = page.locator("[data-cy=viewport-pane] canvas").first
    seen: list[bytes] = []
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        page.wait_for_timeout(500)
        seen.append(canvas.screenshot(style=_CANVAS_ALONE))
        assert len(seen) < 60, "the canvas never comes to rest"
    return np.asarray(Image.open(BytesIO(seen[-1])).convert("RGB")).astype(int)


def pixels_on_screen(page) -> dict[str, np.ndarray]:
    """`(rows, columns)` Hounsfield units by SOPInstanceUID, of the slices that were decoded so far."""
    return {uid: np.array(values).reshape(rows, columns) for uid, rows, columns, values in page.evaluate(_PIXELS)}


def labels_on_screen(page) -> dict[str, np.ndarray]:
    """`(rows, columns)` label indices of the newest segmentation by SOPInstanceUID, out of Cornerstone's cache."""
    return {
        uid: np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns)
        for uid, rows, columns, data in page.evaluate(_LABELMAP)
    }


def draw(page, slices: dict[str, np.ndarray]) -> None:
    """Fill the newest segmentation, as a reader's tools do stroke by stroke; the panel hears of it in the same way."""
    page.evaluate(
        _DRAW, {uid: base64.b64encode(slice_.astype(np.uint8).tobytes()).decode() for uid, slice_ in slices.items()}
    )


def by_instance(array: np.ndarray, files: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """The slices of an `(X, Y, Z)` array as `(rows, columns)`, by the SOPInstanceUID of each file."""
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files]
    return {uid: array[:, :, index].T for index, uid in enumerate(uids)}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Whether two label maps hold the same voxels of the same slices."""
    return left.keys() == right.keys() and all(np.array_equal(left[uid], right[uid]) for uid in left)
