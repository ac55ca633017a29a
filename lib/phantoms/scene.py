"""What is in one seeded chest besides the thorax's own shapes: airways, vessels and nodules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .anatomy import SIDES, Side, Thorax
from .canvas import Box
from .shapes import Vector
from .trees import Tube, grow, sample_inside


@dataclass(frozen=True)
class Nodule:
    """A solid lung nodule: an ellipsoid of the volume of a sphere with `radius_mm`."""

    centre_ras_mm: Vector
    radius_mm: float
    radii_mm: Vector
    side: Side

    @property
    def volume_ml(self) -> float:
        """Exact volume."""
        return float(4 / 3 * np.pi * self.radius_mm**3 / 1000)


@dataclass(frozen=True)
class Scene:
    """All that is painted besides the thorax itself."""

    thorax: Thorax
    vessels: tuple[Tube, ...]
    bronchi: tuple[Tube, ...]
    airway: tuple[Tube, ...]
    great_vessels: tuple[Tube, ...]
    nodules: tuple[Nodule, ...]
    blood_hu: float
    lung_hu: float


def draw_scene(rng: Generator) -> Scene:
    """Everything that one seed decides about the anatomy."""
    thorax = Thorax.draw(rng)
    vessels: list[Tube] = []
    bronchi: list[Tube] = []
    for side in SIDES:
        vessels += _lung_tree(thorax, side, rng, branches=150, leaf_mm=0.9)
        bronchi += _lung_tree(thorax, side, rng, branches=14, leaf_mm=1.3)
    return Scene(
        thorax=thorax,
        vessels=tuple(vessels),
        bronchi=tuple(bronchi),
        airway=_airway(thorax),
        great_vessels=_great_vessels(thorax),
        nodules=_draw_nodules(thorax, rng),
        blood_hu=float(rng.choice([45.0, 170.0])),
        lung_hu=float(rng.uniform(-880, -820)),
    )


def _lung_box(thorax: Thorax, side: Side) -> Box:
    width, depth = thorax.cage
    outer = -width if side == "left" else width
    return (min(outer, 0.0), -depth, -125.0), (max(outer, 0.0), depth + 8, thorax.apex_z)


def _lung_tree(thorax: Thorax, side: Side, rng: Generator, *, branches: int, leaf_mm: float) -> list[Tube]:
    targets = sample_inside(
        lambda points: thorax.lung(points, side), rng, count=branches, box=_lung_box(thorax, side), depth_mm=4.0
    )
    return grow(thorax.hilum(side), targets, leaf_radius_mm=leaf_mm, root_radius_mm=6.5, rng=rng)


def _airway(thorax: Thorax) -> tuple[Tube, ...]:
    """Trachea and the two main bronchi; lumen radii."""
    carina, radius = thorax.carina, thorax.trachea_radius
    top = (carina[0] - 1, carina[1] + 10, 150.0)
    mains = [Tube(carina, thorax.hilum(side), (radius * 0.78, radius * 0.6)) for side in SIDES]
    return (Tube(top, carina, (radius, radius)), *mains)


def _great_vessels(thorax: Thorax) -> tuple[Tube, ...]:
    """Aorta, pulmonary trunk with its arteries, and the caval veins."""
    x, y, z = thorax.heart_centre
    spine = thorax.spine_y
    arch_z = thorax.carina[2] + 28
    aorta = [
        (x + 14, y + 4, z + 25),
        (x + 26, y + 14, z + 58),
        (x + 12, y + 6, arch_z),
        (-18.0, spine + 22, arch_z),
        (-25.0, spine + 8, arch_z - 25),
        (-24.0, spine + 6, -150.0),
    ]
    tubes = [Tube(start, end, (13.0, 12.5)) for start, end in pairwise(aorta)]
    fork = (thorax.carina[0] - 8, thorax.carina[1] + 22, thorax.carina[2] - 16)
    tubes.append(Tube((x + 6, y + 16, z + 26), fork, (13.0, 11.5)))
    for side in SIDES:
        hilum = thorax.hilum(side)
        tubes.append(Tube(fork, (hilum[0], hilum[1] + 6, hilum[2] + 4), (10.0, 7.0)))
    tubes.append(Tube((x + 42, y + 2, z + 20), (x + 42, y + 6, 150.0), (9.5, 8.0)))
    tubes.append(Tube((x + 40, y - 6, z - 15), (x + 38, y - 10, -150.0), (11.0, 12.0)))
    return tuple(tubes)


def _draw_nodules(thorax: Thorax, rng: Generator) -> tuple[Nodule, ...]:
    """1–4 nodules of 6–14 mm radius, wholly inside a lung, apart from each other and from the hila."""
    wanted = int(rng.integers(1, 5))
    nodules: list[Nodule] = []
    while len(nodules) < wanted:
        side = SIDES[int(rng.integers(2))]
        radius = float(rng.uniform(6, 14))
        stretch = np.exp(rng.normal(scale=0.08, size=3))
        radii = radius * stretch / np.cbrt(np.prod(stretch))
        places = sample_inside(
            lambda points, side=side: thorax.lung(points, side),  # type: ignore[misc]
            rng,
            count=1,
            box=_lung_box(thorax, side),
            depth_mm=float(radii.max()) + 2,
        )
        if len(places) == 0 or not _apart(places[0], radius, nodules, thorax):
            continue
        centre = places[0].astype(np.float32)
        nodules.append(Nodule(_vector(centre), radius, _vector(radii), side))
    return tuple(nodules)


def _apart(centre: NDArray[np.float64], radius: float, nodules: list[Nodule], thorax: Thorax) -> bool:
    from_hila = min(float(np.linalg.norm(centre - thorax.hilum(side))) for side in SIDES)
    gaps = [float(np.linalg.norm(centre - other.centre_ras_mm)) - 1.3 * (radius + other.radius_mm) for other in nodules]
    return from_hila > radius + 18 and min(gaps, default=1.0) > 0


def _vector(values: NDArray[Any]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
