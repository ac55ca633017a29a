"""Distances between images in the space of their embeddings; memory grows with the pool, not with its square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .port import Candidate, Embedding, Knowledge

Points = NDArray[np.float32]
Distances = NDArray[np.float32]

_ROUNDS = 20
_CHUNK = 512
_MOST_CLUSTERED = 1024


@dataclass(frozen=True, eq=False)
class Space:
    """Candidates that have an embedding, in the order of their ids, and what is known already.

    Attributes:
        members: The candidates.
        points: `(len(members), n)`, every feature with mean 0 and standard deviation 1 over all images.
        known: `(k, n)` likewise, of images with a label or in somebody's hands.
    """

    members: Sequence[Candidate]
    points: Points
    known: Points


def space_of(pool: Sequence[Candidate], knowledge: Knowledge) -> Space:
    """The space of those with an embedding; what has another number of features is not comparable and left out."""
    ordered = sorted(pool, key=lambda candidate: candidate.image_id)
    having = [(candidate, candidate.embedding) for candidate in ordered if candidate.embedding is not None]
    if not having:
        nothing = np.zeros((0, 0), np.float32)
        return Space([], nothing, nothing)
    size = having[0][1].size
    having = [(candidate, embedding) for candidate, embedding in having if embedding.size == size]
    members = [candidate for candidate, _ in having]
    points = np.stack([np.asarray(embedding, np.float32) for _, embedding in having])
    comparable = [np.asarray(one, np.float32) for one in knowledge.embeddings if np.size(one) == size]
    known = np.stack(comparable) if comparable else np.zeros((0, size), np.float32)
    together = np.concatenate([points, known])
    spread = together.std(axis=0)
    spread[spread < 1e-6] = 1.0
    centre = together.mean(axis=0)
    return Space(members, (points - centre) / spread, (known - centre) / spread)


def to_one(points: Points, one: Points) -> Distances:
    """`(n,)` Euclidean distance of each point to one."""
    distances: Distances = np.sqrt(((points - one) ** 2).sum(axis=1))
    return distances


def to_each(some: Points, points: Points) -> Distances:
    """`(k, n)` Euclidean distance of each of a few points to each point."""
    distances: Distances = _squares(some, points)
    np.maximum(distances, 0, out=distances)
    return np.sqrt(distances, out=distances)


def to_nearest(points: Points, centres: Points) -> Distances:
    """`(n,)` Euclidean distance of each point to the nearest centre; infinite where there is none."""
    nearest = np.full(len(points), np.inf, np.float32)
    for start in range(0, len(centres), _CHUNK):
        squares = _squares(points, centres[start : start + _CHUNK]).min(axis=1)
        np.minimum(nearest, np.sqrt(np.maximum(squares, 0)), out=nearest)
    return nearest


def middle(points: Points) -> int:
    """Which point lies nearest to the mean of all."""
    return int(to_one(points, points.mean(axis=0)).argmin())


def clusters(points: Points, *, count: int, seed: int) -> NDArray[np.int64]:
    """`(n,)` cluster of each point by k-means, started as k-means++ (Arthur & Vassilvitskii, SODA 2007).

    Of more than 1,024 points so many are drawn to find the clusters, for a person waits for the answer.
    """
    random = np.random.default_rng(seed)
    if len(points) > _MOST_CLUSTERED:
        some = points[np.sort(random.choice(len(points), _MOST_CLUSTERED, replace=False))]
        return _nearest_of(points, _middles(some, count, random))
    return _nearest_of(points, _middles(points, count, random))


def _middles(points: Points, count: int, random: np.random.Generator) -> Points:
    """`(k, n)` middles of clusters; fewer than asked for where there are fewer different points."""
    centres = [points[int(random.integers(len(points)))]]
    nearest = to_one(points, centres[0]) ** 2
    while len(centres) < min(count, len(points)) and nearest.max() > 0:
        chances = nearest.astype(np.float64) / nearest.astype(np.float64).sum()
        centres.append(points[int(random.choice(len(points), p=chances))])
        np.minimum(nearest, to_one(points, centres[-1]) ** 2, out=nearest)
    middles = np.stack(centres)
    belongs = _nearest_of(points, middles)
    for _ in range(_ROUNDS):
        member = (belongs == np.arange(len(middles))[:, None]).astype(np.float32)
        sizes = member.sum(axis=1, keepdims=True)
        middles = np.where(sizes > 0, member @ points / np.maximum(sizes, 1), middles)
        before, belongs = belongs, _nearest_of(points, middles)
        if np.array_equal(before, belongs):
            break
    return middles


def typicality(points: Points, *, neighbours: int = 20) -> NDArray[np.float32]:
    """`(n,)` inverse mean distance of each point to its nearest others (Hacohen et al., arXiv:2202.02794, eq. 1)."""
    count = min(neighbours, len(points) - 1)
    if count < 1:
        return np.ones(len(points), np.float32)
    found = [_mean_nearest(points[start : start + _CHUNK], points, count) for start in range(0, len(points), _CHUNK)]
    typical: NDArray[np.float32] = 1 / (np.concatenate(found) + 1e-6)
    return typical


def _mean_nearest(some: Points, points: Points, count: int) -> Distances:
    """Mean distance to the `count` nearest others; a point is its own nearest, at distance 0."""
    squares = _squares(some, points)
    np.maximum(squares, 0, out=squares)
    nearest = np.sqrt(np.partition(squares, count, axis=1)[:, : count + 1])
    mean: Distances = nearest.sum(axis=1) / count
    return mean


def _nearest_of(points: Points, centres: Points) -> NDArray[np.int64]:
    starts = range(0, len(points), _CHUNK)
    return np.concatenate([_squares(points[start : start + _CHUNK], centres).argmin(axis=1) for start in starts])


def _squares(a: Points, b: Points) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = a @ b.T
    squares *= -2  # in place: of thousands of points every copy takes longer than the product
    squares += (a**2).sum(axis=1)[:, None]
    squares += (b**2).sum(axis=1)
    return squares


def nearest(asked: Embedding, others: Mapping[str, Embedding], *, count: int) -> list[tuple[str, float]]:
    """The images most like one, the most similar first, with their distance in standard deviations of each feature.

    Args:
        asked: `(n,)` features of the one.
        others: Image id → features; those of another length are not comparable and left out.
        count: At most so many.
    """
    pool = [Candidate(image_id=image_id, embedding=one) for image_id, one in others.items() if one.size == asked.size]
    space = space_of(pool, Knowledge(embeddings=[asked]))
    if not space.members:
        return []
    # The mean over features, so that the number says the same whatever their count.
    distances = to_one(space.points, space.known[0]) / np.sqrt(asked.size)
    return [(space.members[index].image_id, float(distances[index])) for index in np.argsort(distances)[:count]]
