"""Strategies that compare images with each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from carina.strategies import Candidate, Knowledge, find_strategies
from carina.strategies.space import clusters, space_of, to_nearest, typicality

RANDOM = np.random.default_rng(5)
CENTRES = np.array([[0, 0], [40, 0], [0, 40]], np.float32)
SIZES = (30, 12, 5)
POINTS = np.concatenate(
    [centre + RANDOM.normal(size=(size, 2)) for centre, size in zip(CENTRES, SIZES, strict=True)]
).astype(np.float32)
GROUP = np.repeat(range(3), SIZES)
POOL = [Candidate(image_id=f"{index:03d}", embedding=point) for index, point in enumerate(POINTS)]


def chosen(strategy: str, *, count: int, known=(), pool=POOL, occurrences=None) -> list[int]:
    knowledge = Knowledge(embeddings=known, occurrences=occurrences or {})
    choices = find_strategies().get(strategy).choose_batch(pool, count=count, seed=1, now=0.0, knowledge=knowledge)
    return [int(choice.image_id) for choice in choices]


def test_cold_start_takes_a_typical_image_of_each_group_the_largest_first():
    picked = chosen("coldstart", count=3)
    assert [GROUP[index] for index in picked] == [0, 1, 2]
    for index in picked:
        inside = POINTS[GROUP[index] == GROUP]
        distances = cdist(POINTS[[index]], inside.mean(axis=0, keepdims=True))
        assert distances.item() < np.median(cdist(inside, inside.mean(axis=0, keepdims=True)))


def test_cold_start_passes_over_groups_with_a_label():
    assert [GROUP[index] for index in chosen("coldstart", count=1, known=[POINTS[0], POINTS[31]])] == [2]


def test_coverage_equals_the_greedy_k_centre_of_pairwise_distances():
    points = (POINTS - POINTS.mean(axis=0)) / POINTS.std(axis=0)
    distances = cdist(points, points)
    expected = [int(cdist(points, points.mean(axis=0, keepdims=True)).argmin())]
    while len(expected) < 6:
        expected.append(int(distances[:, expected].min(axis=1).argmax()))
    assert chosen("coverage", count=6) == expected


def test_coverage_keeps_away_from_labelled_images():
    picked = chosen("coverage", count=2, known=[CENTRES[0], CENTRES[2]])
    assert GROUP[picked[0]] == 1


def test_hybrid_takes_unsure_images_of_different_groups():
    pool = [
        Candidate(image_id=one.image_id, embedding=one.embedding, scores={"entropy": 0.9 if index % 5 == 0 else 0.1})
        for index, one in enumerate(POOL)
    ]
    picked = chosen("hybrid", count=3, pool=pool)
    assert all(index % 5 == 0 for index in picked[1:])
    assert {GROUP[index] for index in picked} == {0, 1, 2}


def test_hybrid_prefers_a_structure_that_is_rarely_drawn():
    """Images around one point, equally unsure; one of them shows what no labelled image does."""
    pool = [
        Candidate(
            image_id=f"{index:03d}",
            embedding=point,
            scores={"entropy": 0.5},
            presence={"heart": 1.0, "nodule": float(index == 7)},
        )
        for index, point in enumerate(POINTS[:12])
    ]
    occurrences = {"heart": 10.0, "nodule": 0.0}
    assert chosen("hybrid", count=1, pool=pool, known=[CENTRES[0]], occurrences=occurrences) == [7]
    batch = find_strategies().get("hybrid").choose_batch(
        pool, count=1, seed=1, now=0.0, knowledge=Knowledge(embeddings=[CENTRES[0]], occurrences=occurrences)
    )  # fmt: skip
    assert "nodule" in batch[0].reason


def _near_and_doubtful_or_far(method: str) -> list[Candidate]:
    places = {"0": (1.0, 0.9), "1": (8.0, 0.1)}
    return [
        Candidate(image_id=image_id, embedding=np.array([place], np.float32), scores={method: score})
        for image_id, (place, score) in places.items()
    ]


@pytest.mark.parametrize(
    ("method", "drawn", "expected"),
    [
        ("entropy", {"lung": 4.0, "nodule": 0.0}, "0"),  # the nodule is searched for
        ("islands", {"lung": 4.0, "nodule": 0.0}, "0"),
        ("entropy", {"lung": 4.0, "nodule": 3.0}, "1"),  # nothing is rare: eight times as far counts more than doubt
        ("islands", {"lung": 4.0, "nodule": 2.0}, "0"),  # half of four may be luck
        ("entropy", {"lung": 8.0, "nodule": 5.0}, "1"),
        ("entropy", {"lung": 1.0, "nodule": 1.0}, "1"),
    ],
)
def test_hybrid_follows_doubt_as_long_as_a_structure_is_rare_and_distance_afterwards(method, drawn, expected):
    knowledge = Knowledge(embeddings=[np.array([0.0], np.float32)], occurrences=drawn)
    pool = _near_and_doubtful_or_far(method)
    (choice,) = find_strategies().get("hybrid").choose_batch(pool, count=1, seed=1, now=0.0, knowledge=knowledge)
    assert choice.image_id == expected


@pytest.mark.parametrize(
    ("method", "drawn", "said"),
    [
        ("islands", {"lung": 4.0, "nodule": 1.0}, "Unlike the labelled images. More of its draft lies in islands"),
        ("entropy", {"lung": 4.0, "nodule": 1.0}, "Unlike the labelled images. The model is less sure of it"),
        ("entropy", {}, "Unlike the labelled images. The model is less sure of it"),
    ],
)
def test_hybrid_says_what_its_score_is_about(method, drawn, said):
    pool = [Candidate(image_id=f"{index}", embedding=POINTS[index], scores={method: 0.5}) for index in range(5)]
    knowledge = Knowledge(embeddings=[CENTRES[1]], occurrences=drawn)
    (choice,) = find_strategies().get("hybrid").choose_batch(pool, count=1, seed=1, now=0.0, knowledge=knowledge)
    assert choice.reason.startswith(said)


@pytest.mark.parametrize(
    ("scores", "drawn"), [({}, {}), ({"islands": 0.5}, {"lung": 4.0, "nodule": 3.0}), ({"islands": 0.5}, {"lung": 1.0})]
)
def test_hybrid_takes_what_stands_for_others_without_a_model_and_where_islands_do_not_count(scores, drawn):
    pool = [
        Candidate(image_id=f"{index:03d}", embedding=point, scores=scores if index else dict.fromkeys(scores, 1.0))
        for index, point in enumerate(POINTS)
    ]
    knowledge = Knowledge(embeddings=[CENTRES[0]], occurrences=drawn)
    hybrid, probcover = (
        find_strategies().get(name).choose_batch(pool, count=3, seed=1, now=0.0, knowledge=knowledge)
        for name in ("hybrid", "probcover")
    )
    assert hybrid == probcover
    assert hybrid[0].reason.startswith("Stands for")


def test_clusters_of_separate_groups_are_those_of_scipy():
    found = clusters(POINTS, count=3, seed=0)
    expected = kmeans2(POINTS.astype(np.float64), CENTRES.astype(np.float64), minit="matrix")[1]
    pairs = set(zip(found.tolist(), expected.tolist(), strict=True))
    assert len(pairs) == 3


def test_typicality_is_the_inverse_mean_distance_to_the_nearest_others():
    distances = np.sort(cdist(POINTS, POINTS), axis=1)[:, 1:21].mean(axis=1)
    assert 1 / typicality(POINTS) == pytest.approx(distances, rel=1e-2, abs=1e-2)


def test_distances_to_the_nearest_centre_are_those_of_scipy():
    assert to_nearest(POINTS, CENTRES) == pytest.approx(cdist(POINTS, CENTRES).min(axis=1), abs=2e-3)


def test_every_feature_counts_the_same_whatever_its_unit():
    space = space_of(POOL, Knowledge(embeddings=[POINTS[0] * 1000]))
    together = np.concatenate([space.points, space.known])
    assert together.std(axis=0) == pytest.approx([1, 1], rel=1e-3)
