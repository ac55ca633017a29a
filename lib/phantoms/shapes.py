"""Signed distances of simple shapes: millimetres, negative inside, exact or close to it near the surface.

Points are a triple `(x, y, z)` of float32 arrays that broadcast against each other; every function returns an array of
the broadcast shape. Formulas for ellipsoid and tapered segment follow Quilez, "Distance functions" (2013).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Distance = NDArray[np.float32]
Points = tuple[Distance, Distance, Distance]
Vector = tuple[float, float, float]

_TINY = np.float32(1e-6)


def at(points: Points, centre: Vector) -> Points:
    """The points as seen from `centre`."""
    x, y, z = points
    return x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2])


def rotated(points: Points, matrix: NDArray[Any]) -> Points:
    """The points in a frame whose axes are the rows of `matrix`, `(3, 3)`."""
    x, y, z = points
    rows = matrix.astype(np.float32)
    first, second, third = (row[0] * x + row[1] * y + row[2] * z for row in rows)
    return first, second, third


def ellipse(x: Distance, y: Distance, radius_x: float | Distance, radius_y: float | Distance) -> Distance:
    """Distance to an ellipse around the origin; the radii may vary from point to point."""
    u, v = x / radius_x, y / radius_y
    inside = np.sqrt(u * u + v * v) + _TINY
    slope = np.sqrt((u / radius_x) ** 2 + (v / radius_y) ** 2) + _TINY
    return np.asarray(inside * (inside - 1) / slope, dtype=np.float32)


def ellipsoid(points: Points, radii: Vector) -> Distance:
    """Distance to an ellipsoid around the origin."""
    u, v, w = (points[axis] / np.float32(radii[axis]) for axis in range(3))
    inside = np.sqrt(u * u + v * v + w * w) + _TINY
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + _TINY
    return np.asarray(inside * (inside - 1) / slope, dtype=np.float32)


def box(points: Points, half: Vector, *, rounding: float = 0.0) -> Distance:
    """Distance to a box around the origin with rounded edges; `half` includes the rounding."""
    outside = [np.abs(points[axis]) - np.float32(half[axis] - rounding) for axis in range(3)]
    beyond = np.sqrt(sum(np.maximum(side, 0) ** 2 for side in outside))
    within = np.minimum(np.maximum(np.maximum(outside[0], outside[1]), outside[2]), 0)
    return np.asarray(beyond + within - np.float32(rounding), dtype=np.float32)


def segment(points: Points, start: Vector, end: Vector, radii: tuple[float, float]) -> Distance:
    """Distance to a tube from `start` to `end` with round ends, its radius going linearly from one to the other."""
    x, y, z = at(points, start)
    axis = np.asarray(end, dtype=np.float32) - np.asarray(start, dtype=np.float32)
    length_squared = float(axis @ axis) + 1e-6
    share = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / np.float32(length_squared), 0, 1)
    x, y, z = x - share * axis[0], y - share * axis[1], z - share * axis[2]
    radius = np.float32(radii[0]) + share * np.float32(radii[1] - radii[0])
    return np.asarray(np.sqrt(x * x + y * y + z * z) - radius, dtype=np.float32)


def smooth_max(first: Distance, second: Distance, blend_mm: float) -> Distance:
    """Intersection of two shapes whose common edge is rounded over about `blend_mm`."""
    blend = np.float32(blend_mm)
    near = np.maximum(blend - np.abs(first - second), 0)
    return np.asarray(np.maximum(first, second) + near * near / (4 * blend), dtype=np.float32)


def smooth_min(first: Distance, second: Distance, blend_mm: float) -> Distance:
    """Union of two shapes whose common edge is filled over about `blend_mm`."""
    return np.asarray(-smooth_max(-first, -second, blend_mm), dtype=np.float32)


def repeated(position: Distance, pitch: float) -> Distance:
    """Offset to the nearest multiple of `pitch`: in [-pitch/2, pitch/2)."""
    half = np.float32(pitch / 2)
    return np.asarray(np.mod(position + half, np.float32(pitch)) - half, dtype=np.float32)
