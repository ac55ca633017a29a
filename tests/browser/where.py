"""Where things are: on the page, in the patient (LPS mm, as Cornerstone has it), among the voxels of the image."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from .doing import RENDERED
from .onscreen import by_instance, labels_on_screen

_VIEWPORT = """
  const [engine] = window.cornerstone.getRenderingEngines();
  const viewport = engine.getViewports().find(({element}) => element.querySelector("canvas"));
"""
_WORLD = f"""([x, y]) => {{
  {_VIEWPORT}
  const {{left, top}} = viewport.canvas.getBoundingClientRect();
  return Array.from(viewport.canvasToWorld([x - left, y - top]));
}}"""
_ON_PAGE = f"""(point) => {{
  {_VIEWPORT}
  const {{left, top}} = viewport.canvas.getBoundingClientRect();
  const [x, y] = viewport.worldToCanvas(point);
  return [x + left, y + top];
}}"""
_SHOWN = f"""() => {{
  {_VIEWPORT}
  return window.cornerstone.metaData.get("instance", viewport.getCurrentImageId()).SOPInstanceUID;
}}"""
_SHOW = f"""(uid) => {{
  {_VIEWPORT}
  const ids = viewport.getImageIds();
  const imageIndex = ids.findIndex((id) => window.cornerstone.metaData.get("instance", id).SOPInstanceUID === uid);
  return window.cornerstone.utilities.jumpToSlice(viewport.element, {{imageIndex}});
}}"""


def show_slice(page, series, k: int) -> None:
    """Show the slice that is number `k` of the server's image, and wait until it is drawn."""
    uid = instances(series)[k]
    page.wait_for_function(RENDERED)
    page.evaluate(_SHOW, uid)
    page.wait_for_function(f"(uid) => ({_SHOWN})() === uid", arg=uid)
    page.wait_for_function(RENDERED)


def lps_at(page, x: float, y: float) -> list[float]:
    """Where in the patient a place on the page is."""
    return page.evaluate(_WORLD, [x, y])


def on_page(page, affine_ras: np.ndarray, voxel) -> tuple[float, float]:
    """Where on the page the middle of a voxel of the slice shown is."""
    x, y = page.evaluate(_ON_PAGE, (nib.affines.apply_affine(affine_ras, voxel) * [-1, -1, 1]).tolist())
    return x, y


def voxel_at(affine_ras: np.ndarray, lps: list[float]) -> list[int]:
    """The voxel of the server's image that a place in the patient is in."""
    ras = np.array(lps) * [-1, -1, 1]
    return np.rint(nib.affines.apply_affine(np.linalg.inv(affine_ras), ras)).astype(int).tolist()


def instances(series) -> list[str]:
    """SOPInstanceUID of each slice of the server's image, in its order."""
    return list(by_instance(np.zeros((1, 1, len(series.files))), series.files))


def drawn(page, series) -> np.ndarray:
    """`(X, Y, Z)` label indices of the newest segmentation on screen, in the order of the server's image."""
    slices = labels_on_screen(page)
    return np.stack([slices[uid].T for uid in instances(series)], axis=-1)
