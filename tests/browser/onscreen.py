"""What a page shows, asked of Cornerstone itself rather than of carina's panel."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pydicom

_LABELMAP = """() => {
  const {cornerstone, cornerstoneTools} = window;
  const segmentation = cornerstoneTools.segmentation.state.getSegmentations().at(-1);
  const {imageIds, referencedImageIds} = segmentation.representationData.Labelmap;
  return imageIds.map((id, index) => {
    const image = cornerstone.cache.getImage(id);
    const bytes = new Uint8Array(image.voxelManager.getScalarData());
    return [
      cornerstone.metaData.get("instance", referencedImageIds[index]).SOPInstanceUID,
      image.rows, image.columns, btoa(String.fromCharCode(...bytes)),
    ];
  });
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


def pixels_on_screen(page) -> dict[str, np.ndarray]:
    """`(rows, columns)` Hounsfield units by SOPInstanceUID, of the slices that were decoded so far."""
    return {uid: np.array(values).reshape(rows, columns) for uid, rows, columns, values in page.evaluate(_PIXELS)}


def labels_on_screen(page) -> dict[str, np.ndarray]:
    """`(rows, columns)` label indices of the newest segmentation by SOPInstanceUID, out of Cornerstone's cache."""
    return {
        uid: np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns)
        for uid, rows, columns, data in page.evaluate(_LABELMAP)
    }


def by_instance(array: np.ndarray, files: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """The slices of an `(X, Y, Z)` array as `(rows, columns)`, by the SOPInstanceUID of each file."""
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files]
    return {uid: array[:, :, index].T for index, uid in enumerate(uids)}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Whether two label maps hold the same voxels of the same slices."""
    return left.keys() == right.keys() and all(np.array_equal(left[uid], right[uid]) for uid in left)
