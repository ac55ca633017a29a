"""One seeded thorax as signed distances: body, rib cage, lungs, heart, spine; and the trees inside the lungs.

Everything is in the patient's frame, RAS millimetres with the origin in the middle of the chest: x to the Right,
y Anterior, z Superior. A seed changes sizes and positions, never topology.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from . import shapes
from .shapes import Distance, Points, Vector

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

PLEURA_MM = 3.0
"""Fat and pleura between a lung and the heart."""


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Sizes and positions of one patient's thorax, mm.

    Attributes:
        body: Half width and half depth of the trunk.
        fat: Thickness of the fat under the skin.
        cage: Half width and half depth of the chest cavity.
        apex_z: Height of the lungs' tops.
        domes: Heights of the left and right hemidiaphragm.
        heart_centre: Its middle.
        heart_radii: Long axis first.
        heart_tilt: Degrees by which the apex points forward and down.
        spine_y: Front-to-back position of the vertebral column's middle.
        scoliosis: Sideways amplitude of the column.
        vertebra_pitch: From one disc to the next.
        rib_slope: Millimetres a rib falls per millimetre it runs forward.
        mediastinum: Half width of the middle of the chest.
        carina: Where the trachea divides.
        trachea_radius: Of its lumen.
    """

    body: tuple[float, float]
    fat: float
    cage: tuple[float, float]
    apex_z: float
    domes: tuple[float, float]
    heart_centre: Vector
    heart_radii: Vector
    heart_tilt: tuple[float, float]
    spine_y: float
    scoliosis: float
    vertebra_pitch: float
    rib_slope: float
    mediastinum: float
    carina: Vector
    trachea_radius: float

    @classmethod
    def draw(cls, rng: Generator) -> Thorax:
        """One patient from `rng`."""
        size = rng.uniform(0.93, 1.04)
        depth = rng.uniform(0.94, 1.06) * size

        def vary(value: float, by: float) -> float:
            return float(value * size + rng.uniform(-by, by))

        cage = (vary(126, 3), 83 * depth + float(rng.uniform(-2, 2)))
        fat = float(rng.uniform(5, 13))
        heart = vary(52, 3)
        return cls(
            body=(cage[0] + 13 + fat, cage[1] + 20 + fat),
            fat=fat,
            cage=cage,
            apex_z=vary(104, 5),
            domes=(vary(-68, 6), vary(-54, 6)),
            heart_centre=(vary(-20, 4), vary(16, 4), vary(-40, 4)),
            heart_radii=(heart, heart * 0.80, heart * 0.76),
            heart_tilt=(float(rng.uniform(20, 35)), float(rng.uniform(20, 35))),
            spine_y=-59.0 * depth,
            scoliosis=float(rng.uniform(-5, 5)),
            vertebra_pitch=vary(26, 1.5),
            rib_slope=float(rng.uniform(0.35, 0.5)),
            mediastinum=vary(29, 2),
            carina=(vary(2, 2), vary(-14, 3), vary(28, 5)),
            trachea_radius=vary(8.5, 1),
        )

    def trunk(self, points: Points) -> Distance:
        """The skin; the trunk narrows towards the neck and runs on below."""
        x, y, z = points
        taper = 1 - 0.16 * np.clip((z - 40) / 90, 0, 1) ** 2
        return shapes.ellipse(x, y - 2, self.body[0] * taper, self.body[1] * taper)

    def cavity(self, points: Points) -> Distance:
        """The inner surface of the rib cage: an elliptic column below, an ellipsoidal vault above."""
        x, y, z = points
        start = self.apex_z - 148
        above = np.maximum(z - start, 0)
        return shapes.ellipsoid((x, y - 4, above), (self.cage[0], self.cage[1], 148.0))

    def diaphragm_z(self, x: Distance, y: Distance) -> Distance:
        """Height of the diaphragm's upper surface: one dome on each side, the right one higher."""
        left, right = (
            top - 46 * (((x - centre) / 74) ** 2 + ((y - 12) / 78) ** 2)
            for top, centre in zip(self.domes, (-62.0, 62.0), strict=True)
        )
        return shapes.smooth_max(left, right, 12.0)

    def above_diaphragm(self, points: Points) -> Distance:
        """Negative above the diaphragm."""
        x, y, z = points
        return np.asarray((self.diaphragm_z(x, y) - z) * np.float32(0.8), dtype=np.float32)

    def heart(self, points: Points) -> Distance:
        """The heart with its sac: an ellipsoid whose apex points left, forward and down, flat on the diaphragm."""
        forward, down = self.heart_tilt
        frame = Rotation.from_euler("zy", [-forward, -down], degrees=True).as_matrix().T
        oval = shapes.ellipsoid(shapes.rotated(shapes.at(points, self.heart_centre), frame), self.heart_radii)
        return shapes.smooth_max(oval, self.above_diaphragm(points) + 4, 6.0)

    def lung(self, points: Points, side: Side) -> Distance:
        """One lung: its half of the cavity above the diaphragm, less mediastinum, heart and spine."""
        x, y, _ = points
        outward = -x - 5 if side == "left" else x - 5
        middle = shapes.ellipse(x + 1, y + 6, self.mediastinum, 72.0)
        inner = np.minimum(shapes.smooth_min(middle, self.heart(points) - PLEURA_MM, 8.0), self.column(points) - 4)
        outer = shapes.smooth_max(self.cavity(points) + 2.5, self.above_diaphragm(points) + 3, 5.0)
        return shapes.smooth_max(shapes.smooth_max(outer, -inner, 6.0), -np.asarray(outward), 4.0)

    def spine_axis(self, z: Distance) -> tuple[Distance, Distance]:
        """X and y of the vertebral column's middle at height z."""
        across = self.scoliosis * np.sin(z / 70)
        along = self.spine_y + 11 * (z / 120) ** 2
        return np.asarray(across, dtype=np.float32), np.asarray(along, dtype=np.float32)

    def column(self, points: Points) -> Distance:
        """Vertebral bodies and discs; bodies have a waist."""
        x, y, z = points
        middle_x, middle_y = self.spine_axis(z)
        width = 17 - 1.2 * np.cos(2 * np.pi * z / self.vertebra_pitch)
        return shapes.ellipse(x - middle_x, y - middle_y, width, width * 0.82)

    def disc(self, points: Points) -> Distance:
        """Intervertebral discs: the slices of the column halfway between two vertebrae."""
        return shapes.smooth_max(self.column(points), self._from_disc(points) - 3, 1.5)

    def marrow(self, points: Points) -> Distance:
        """Cancellous bone inside the vertebral bodies."""
        return shapes.smooth_max(self.column(points) + 2, 4.5 - self._from_disc(points), 2.0)

    def _from_disc(self, points: Points) -> Distance:
        level = shapes.repeated(points[2] - self.vertebra_pitch / 2, self.vertebra_pitch)
        return np.asarray(np.abs(level), dtype=np.float32)

    def canal(self, points: Points) -> Distance:
        """The spinal canal."""
        x, y, z = points
        middle_x, middle_y = self.spine_axis(z)
        return shapes.ellipse(x - middle_x, y - middle_y + 21, 9.0, 7.5)

    def spine(self, points: Points) -> Distance:
        """The whole spine: column, canal with its arch, transverse and spinous processes."""
        x, y, z = points
        middle_x, middle_y = self.spine_axis(z)
        across, behind = x - middle_x, y - middle_y
        level = shapes.repeated(z, self.vertebra_pitch)
        arch = np.maximum(self.canal(points) - 4, np.abs(level) - 9)
        wings = shapes.box((across, behind + 22, level), (30.0, 5.0, 6.0), rounding=4.0)
        fallen = shapes.repeated(z - 0.5 * (behind + 28), self.vertebra_pitch)
        thorn = shapes.box((across, behind + 37, fallen), (4.0, 11.0, 7.0), rounding=3.0)
        bones = np.minimum(np.minimum(wings, thorn), np.minimum(arch, self.canal(points)))
        return shapes.smooth_min(self.column(points), bones, 3.0)

    def ribs(self, points: Points, cavity: Distance) -> Distance:
        """Ribs on the cage's surface, falling forward; `cavity` is the distance `self.cavity` gave."""
        x, y, z = points
        level = shapes.repeated(z + self.rib_slope * (y + 80), self.vertebra_pitch)
        rib = shapes.ellipse(level, cavity - 5, 5.5, 3.6)
        gap = 14 - np.abs(x)
        return np.asarray(np.maximum(rib, gap), dtype=np.float32)

    def sternum(self, points: Points) -> Distance:
        """Manubrium and body of the sternum."""
        front = self.cage[1] + 7
        x, y, z = points
        upright = y - front + 0.0016 * np.maximum(z - 20, 0) ** 2
        return shapes.box((x, upright, z - 20), (17.0, 5.5, 68.0), rounding=5.0)

    def hilum(self, side: Side) -> Vector:
        """Where bronchus and vessels enter a lung."""
        outward = 1.0 if side == "right" else -1.0
        x, y, z = self.carina
        return x + outward * (self.mediastinum + 9), y - 4, z - (14 if side == "right" else 20)
