"""Branching tubes inside a lung: pulmonary vessels and bronchi, grown towards seeded targets.

Each target joins the existing tree where the detour is smallest; radii follow Murray's law (Murray, PNAS 1926): the
cube of a parent's radius is the sum of its children's cubes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .shapes import Distance, Points, Vector

Field = Callable[[Points], Distance]
Positions = NDArray[np.float64]


@dataclass(frozen=True)
class Tube:
    """One straight, tapering piece: ends in RAS mm, and the radius at each."""

    start: Vector
    end: Vector
    radii: tuple[float, float]


def sample_inside(
    field: Field, rng: Generator, *, count: int, box: tuple[Vector, Vector], depth_mm: float
) -> Positions:
    """Draw points at least `depth_mm` inside a shape.

    Args:
        field: Signed distance.
        rng: Source of randomness.
        count: How many to draw.
        box: Lower and upper corner that hold the shape.
        depth_mm: Least distance from the surface.

    Returns:
        `(n, 3)` RAS mm; fewer than `count` where the shape leaves no room.
    """
    found: list[Positions] = []
    total = 0
    for _ in range(40):
        points = rng.uniform(box[0], box[1], size=(4 * count, 3))
        x, y, z = points.astype(np.float32).T
        inside = points[field((x, y, z)) < -depth_mm]
        found.append(inside)
        total += len(inside)
        if total >= count:
            break
    return np.concatenate(found)[:count]


def grow(
    root: Vector, targets: Positions, *, leaf_radius_mm: float, root_radius_mm: float, rng: Generator
) -> list[Tube]:
    """Connect `targets` to `root` as a tree of tubes.

    Args:
        root: Where the tree enters, RAS mm.
        targets: `(n, 3)` ends of the branches.
        leaf_radius_mm: Radius at the ends.
        root_radius_mm: Upper limit of the radius anywhere.
        rng: Bends the branches a little.

    Returns:
        Tubes in no particular order.
    """
    nodes: list[Positions] = [np.asarray(root, dtype=np.float64)]
    parents, lengths = [-1], [0.0]
    order = np.argsort(np.linalg.norm(targets - nodes[0], axis=1))
    for target in targets[order]:
        steps = np.linalg.norm(np.stack(nodes) - target, axis=1)
        parent = int(np.argmin(steps + 0.5 * np.asarray(lengths)))
        bend = (nodes[parent] + target) / 2 + rng.normal(scale=0.06 * steps[parent], size=3)
        for point in (bend, target):
            lengths.append(lengths[parent] + float(np.linalg.norm(point - nodes[parent])))
            parents.append(parent)
            nodes.append(point)
            parent = len(nodes) - 1
    radii = _murray(parents, leaf_radius_mm, root_radius_mm)
    radii[0] = root_radius_mm
    return [
        Tube(_vector(nodes[parent]), _vector(nodes[child]), (min(radii[parent], 1.5 * radii[child]), radii[child]))
        for child, parent in enumerate(parents)
        if parent >= 0
    ]


def _murray(parents: list[int], leaf: float, limit: float) -> list[float]:
    cubes = np.zeros(len(parents))
    for node in range(len(parents) - 1, 0, -1):
        cubes[node] = max(cubes[node], leaf**3)
        cubes[parents[node]] += cubes[node]
    return [min(float(radius), limit) for radius in np.cbrt(cubes)]


def _vector(point: Positions) -> Vector:
    return float(point[0]), float(point[1]), float(point[2])
