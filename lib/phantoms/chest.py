"""A seeded synthetic chest CT with exact labels, at any size, spacing and orientation.

The anatomy is a set of signed distances in the patient's frame (`anatomy.py`), so the truth does not depend on the
grid: a voxel carries a label exactly when its centre lies inside the structure. The image is painted from the same
distances with partial volume, then gets noise that is correlated in the slice and from slice to slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from nibabel.orientations import axcodes2ornt
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..errors import InvalidInputError
from ..geometry import Grid, Volume
from .anatomy import Thorax
from .canvas import Canvas
from .noise import SliceNoise
from .painting import STRUCTURES, paint_chest
from .scene import Nodule, draw_scene
from .shapes import Vector

__all__ = ["FIELD_OF_VIEW_MM", "STRUCTURES", "ChestPhantom", "Nodule", "chest_grid", "make_chest"]

FIELD_OF_VIEW_MM = (336.0, 336.0, 256.0)
"""What a phantom shows when no spacing is given: left to right, back to front, foot to head."""

_SLAB_VOXELS = 4_000_000


@dataclass(frozen=True, eq=False)
class ChestPhantom:
    """One synthetic study.

    Attributes:
        image: int16 Hounsfield units.
        label: uint8 on the same grid; values as in `structures`.
        structures: Name → voxel value.
        nodules: Where they are and how large.
        thorax: The anatomy that was drawn.
    """

    image: Volume
    label: Volume
    structures: Mapping[str, int]
    nodules: tuple[Nodule, ...]
    thorax: Thorax


def make_chest(
    seed: int,
    *,
    shape: tuple[int, int, int] = (96, 96, 64),
    spacing_mm: Vector | None = None,
    oblique_deg: Vector = (0.0, 0.0, 0.0),
    orientation: str = "LPS",
    noise_hu: float = 18.0,
    nodules: bool = True,
) -> ChestPhantom:
    """Draw one patient and image them.

    Args:
        seed: Of the anatomy and the noise; two grids with one seed show one patient.
        shape: Voxels along i, j, k.
        spacing_mm: Along i, j, k; None spreads `FIELD_OF_VIEW_MM` over the shape.
        oblique_deg: Turns of the grid about the patient's x, y and z axes.
        orientation: Where i, j and k run before the turn, as letters of R/L, A/P, S/I: `LPS` is a usual axial CT.
        noise_hu: Standard deviation of the noise; 0 for none.
        nodules: Whether the patient has any; all else stays as it is.

    Returns:
        Image and truth; equal arguments give equal voxels.

    Raises:
        InvalidInputError: If the orientation is not three different axes, or shape or spacing is not positive.
    """
    grid = chest_grid(shape=shape, spacing_mm=spacing_mm, oblique_deg=oblique_deg, orientation=orientation)
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    scene = scene if nodules else replace(scene, nodules=())
    image = np.empty(grid.shape, dtype=np.int16)
    label = np.empty(grid.shape, dtype=np.uint8)
    noise = SliceNoise(np.random.default_rng([seed, 1]), grid, noise_hu)
    thickness = max(1, _SLAB_VOXELS // (grid.shape[0] * grid.shape[1]))
    for start in range(0, grid.shape[2], thickness):
        stop = min(start + thickness, grid.shape[2])
        canvas = Canvas(grid, start, stop)
        paint_chest(canvas, scene)
        noise.add_to(canvas.hu)
        np.clip(np.rint(canvas.hu), -1024, 3071, out=canvas.hu)
        image[:, :, start:stop] = canvas.hu
        label[:, :, start:stop] = canvas.label
    return ChestPhantom(Volume(image, grid), Volume(label, grid), STRUCTURES, scene.nodules, scene.thorax)


def chest_grid(
    *, shape: tuple[int, int, int], spacing_mm: Vector | None, oblique_deg: Vector, orientation: str
) -> Grid:
    """The grid of a phantom: centred on the patient, turned by `oblique_deg` about its own middle.

    Raises:
        InvalidInputError: As `make_chest`.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise InvalidInputError(f"A phantom's shape must be three positive sizes, got {shape}. Try 96,96,64.")
    if spacing_mm is not None and (len(spacing_mm) != 3 or min(spacing_mm) <= 0):
        raise InvalidInputError(f"A phantom's spacing must be three positive mm, got {spacing_mm}. Try 3.5,3.5,4.")
    axes = _orientation_matrix(orientation)
    if spacing_mm is None:
        extent = np.abs(axes).T @ np.asarray(FIELD_OF_VIEW_MM)
        spacing = extent / np.asarray(shape)
    else:
        spacing = np.asarray(spacing_mm, dtype=np.float64)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", oblique_deg, degrees=True).as_matrix()
    affine[:3, :3] = turn @ axes @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)


def _orientation_matrix(orientation: str) -> NDArray[np.float64]:
    """`(3, 3)`: column a is the RAS direction of index axis a."""
    pairs = ("RL", "AP", "SI")
    letters = orientation.upper()
    if len(letters) != 3 or any(sum(letter in pair for letter in letters) != 1 for pair in pairs):
        raise InvalidInputError(
            f"An orientation must name three different axes by R/L, A/P and S/I, got {orientation!r}. Try LPS."
        )
    matrix = np.zeros((3, 3))
    for column, (row, sign) in enumerate(axcodes2ornt(tuple(letters))):
        matrix[int(row), column] = sign
    return matrix
