"""Paints a chest, from the skin inwards: later layers lie over earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import shapes
from .anatomy import SIDES, Thorax
from .canvas import Box, Canvas
from .scene import Nodule, Scene
from .shapes import Distance, Points
from .trees import Tube

STRUCTURES: Mapping[str, int] = MappingProxyType(
    {"lung_left": 1, "lung_right": 2, "heart": 3, "trachea": 4, "spine": 5, "nodule": 6}
)
"""Name → voxel value of the truth; the indices of the task `thorax_ct`."""

_SKIN_HU, _FAT_HU, _MUSCLE_HU, _CARTILAGE_HU = 10.0, -100.0, 52.0, 110.0
_CORTEX_HU, _MARROW_HU, _DISC_HU, _CORD_HU = 480.0, 190.0, 75.0, 25.0
_LIVER_HU, _SPLEEN_HU, _STOMACH_HU, _AIR_HU, _WALL_HU, _NODULE_HU = 62.0, 50.0, 20.0, -960.0, -150.0, 40.0
_SKIN_MM = 2.0


def paint_chest(canvas: Canvas, scene: Scene) -> None:
    """Paint one slab of image and truth."""
    thorax, points = scene.thorax, canvas.points
    cavity = thorax.cavity(points)
    _paint_wall(canvas, thorax, cavity)
    _paint_abdomen(canvas, thorax, cavity)
    _paint_bones(canvas, thorax, cavity)
    _paint_lungs(canvas, scene)
    _paint_mediastinum(canvas, scene)
    for tube in scene.vessels:
        _paint_tube(canvas, tube, scene.blood_hu)
    for tube in scene.bronchi:
        _paint_tube(canvas, tube, _WALL_HU)
    _paint_airway(canvas, scene)
    for nodule in scene.nodules:
        _paint_nodule(canvas, nodule)


def _paint_wall(canvas: Canvas, thorax: Thorax, cavity: Distance) -> None:
    x, _, z = canvas.points
    skin = thorax.trunk(canvas.points)
    canvas.paint(skin, _SKIN_HU)
    canvas.paint(skin + _SKIN_MM, _FAT_HU)
    under_fat = skin + _SKIN_MM + thorax.fat
    canvas.paint(shapes.smooth_max(under_fat, np.abs(x) - 118 + 0.3 * np.maximum(z - 40, 0), 12.0), _MUSCLE_HU)
    canvas.paint(np.maximum(under_fat, cavity - 17), _MUSCLE_HU)
    canvas.paint(np.maximum(cavity - 9, 3 - cavity), _FAT_HU)
    canvas.paint(np.maximum(np.abs(cavity - 1) - 1.5, under_fat), _MUSCLE_HU)
    canvas.paint(cavity, _FAT_HU)


def _paint_abdomen(canvas: Canvas, thorax: Thorax, cavity: Distance) -> None:
    x, y, z = canvas.points
    below: Distance = np.maximum(-thorax.above_diaphragm(canvas.points), cavity + 1)
    canvas.paint(np.maximum(below, -(below + 3)), _MUSCLE_HU)
    liver = shapes.ellipsoid((x - 45, y - 12, z + 105), (82.0, 74.0, 62.0))
    canvas.paint(shapes.smooth_max(liver, below + 4, 4.0), _LIVER_HU)
    stomach = shapes.ellipsoid((x + 50, y - 30, z + 114), (46.0, 48.0, 52.0))
    canvas.paint(shapes.smooth_max(stomach, below + 5, 4.0), _STOMACH_HU)
    spleen = shapes.ellipsoid((x + 84, y + 32, z + 112), (24.0, 36.0, 44.0))
    canvas.paint(shapes.smooth_max(spleen, below + 4, 4.0), _SPLEEN_HU)


def _paint_bones(canvas: Canvas, thorax: Thorax, cavity: Distance) -> None:
    points = canvas.points
    ribs = thorax.ribs(points, cavity)
    near_sternum = np.maximum(ribs, 55 - points[1] - 0.15 * np.abs(points[0]))
    canvas.paint(ribs, _CORTEX_HU)
    canvas.paint(ribs + 1.6, _MARROW_HU)
    canvas.paint(near_sternum, _CARTILAGE_HU)
    sternum = thorax.sternum(points)
    canvas.paint(sternum, _CORTEX_HU * 0.8)
    canvas.paint(sternum + 2, _MARROW_HU * 0.7)
    box: Box = ((-45.0, thorax.spine_y - 60, -1000.0), (45.0, thorax.spine_y + 45, 1000.0))
    canvas.paint_shape(thorax.spine, _CORTEX_HU, box=box, label=STRUCTURES["spine"])
    canvas.paint_shape(thorax.marrow, _MARROW_HU, box=box)
    canvas.paint_shape(thorax.disc, _DISC_HU, box=box)
    canvas.paint_shape(thorax.canal, _CORD_HU, box=box)


def _paint_lungs(canvas: Canvas, scene: Scene) -> None:
    thorax = scene.thorax
    width, depth = thorax.cage
    for side in SIDES:
        outer = -width - 5 if side == "left" else width + 5
        box: Box = ((0.0, -depth - 5, -160.0), (outer, depth + 10, thorax.apex_z + 5))
        window = canvas.window(box)
        if window is None:
            continue
        points = canvas.points_in(window)
        lung = thorax.lung(points, side)
        canvas.paint(lung, scene.lung_hu, label=STRUCTURES[f"lung_{side}"], window=window)
        dependent = np.where(lung < 0, np.clip(-points[1] - 10, 0, 60) * np.float32(0.9), 0)
        canvas.hu[window] += dependent


def _paint_mediastinum(canvas: Canvas, scene: Scene) -> None:
    thorax = scene.thorax
    reach = max(thorax.heart_radii)
    x, y, z = thorax.heart_centre
    box: Box = ((x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach))
    for tube in scene.great_vessels:
        _paint_tube(canvas, tube, scene.blood_hu, label=0)
    canvas.paint_shape(thorax.heart, 55.0, box=box, margin_mm=5, label=STRUCTURES["heart"])
    canvas.paint_shape(lambda points: thorax.heart(points) + 9, scene.blood_hu * 0.95, box=box)


def _paint_airway(canvas: Canvas, scene: Scene) -> None:
    for tube in scene.airway:
        wall = Tube(tube.start, tube.end, (tube.radii[0] + 2, tube.radii[1] + 1.5))
        _paint_tube(canvas, wall, 30.0)
    for tube in scene.airway:
        _paint_tube(canvas, tube, _AIR_HU, label=STRUCTURES["trachea"])
    for tube in scene.bronchi:
        _paint_tube(canvas, Tube(tube.start, tube.end, (0.65 * tube.radii[0], 0.65 * tube.radii[1])), _AIR_HU)


def _paint_tube(canvas: Canvas, tube: Tube, hu: float, *, label: int | None = None) -> None:
    def distance(points: Points) -> Distance:
        return shapes.segment(points, tube.start, tube.end, tube.radii)

    canvas.paint_shape(distance, hu, box=(tube.start, tube.end), margin_mm=max(tube.radii), label=label)


def _paint_nodule(canvas: Canvas, nodule: Nodule) -> None:
    def distance(points: Points) -> Distance:
        return shapes.ellipsoid(shapes.at(points, nodule.centre_ras_mm), nodule.radii_mm)

    reach = max(nodule.radii_mm)
    box: Box = (nodule.centre_ras_mm, nodule.centre_ras_mm)
    canvas.paint_shape(distance, _NODULE_HU, box=box, margin_mm=reach, label=STRUCTURES["nodule"])
