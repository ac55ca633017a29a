"""Coverage by balls of one size, against a count over all pairs."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from carina.strategies import Candidate, Knowledge, find_strategies
from carina.strategies.probcover import _radius
from carina.strategies.space import clusters, space_of

RANDOM = np.random.default_rng(8)
SIZES = (40, 25, 10)
POINTS = np.concatenate(
    [centre + RANDOM.normal(size=(size, 2)) for centre, size in zip(([0, 0], [40, 0], [0, 40]), SIZES, strict=True)]
).astype(np.float32)
GROUP = np.repeat(range(3), SIZES)
POOL = [Candidate(image_id=f"{index:03d}", embedding=point) for index, point in enumerate(POINTS)]


def choices(*, count: int, known=(), pool=POOL):
    knowledge = Knowledge(embeddings=known)
    return find_strategies().get("probcover").choose_batch(pool, count=count, seed=1, now=0.0, knowledge=knowledge)


def test_each_choice_covers_the_most_images_that_are_left():
    points = space_of(POOL, Knowledge()).points
    radius = _radius(points, np.arange(len(points)), 1)
    within = cdist(points, points) <= radius
    left = np.ones(len(points), bool)
    for choice in choices(count=6):
        covered = (within & left).sum(axis=1)
        assert covered[int(choice.image_id)] == covered.max() == choice.weight
        assert f"Stands for {covered.max()} similar images" in choice.reason
        left &= ~within[int(choice.image_id)]


def test_an_image_that_is_like_no_other_is_said_to_be_so():
    pool = [Candidate(image_id=f"{place}", embedding=np.array([place], np.float32)) for place in (0, 10, 500, 1000)]
    _, alone = choices(count=2, pool=pool)
    assert alone.weight == 1
    assert alone.reason == "Like no labelled image, nor any other."


def test_within_the_distance_19_of_20_images_have_none_of_another_group():
    points = space_of(POOL, Knowledge()).points
    belongs = clusters(points, count=12, seed=1)
    distances = cdist(points, points)
    foreign = np.where(belongs[:, None] != belongs, distances, np.inf).min(axis=1)
    radius = _radius(points, np.arange(len(points)), 1)
    assert 0.93 <= (foreign > radius).mean() <= 0.96


def test_what_lies_near_a_labelled_image_is_covered_already():
    first = choices(count=1, known=list(POINTS[GROUP == 0]))[0]
    assert GROUP[int(first.image_id)] == 1


def test_when_all_is_covered_the_image_furthest_from_what_is_known_comes():
    """Every point has its own label; one image was looked at since, and lies between."""
    pool = [*POOL[::10]]
    taken = [int(choice.image_id) for choice in choices(count=3, known=list(POINTS), pool=pool)]
    assert len(set(taken)) == 3
