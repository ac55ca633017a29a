"""Drafts that are wrong in known ways look less plausible than right ones, and it is said in which way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from carina.errors import ConfigurationError
from carina.geometry import Grid, Volume
from carina.label_maps import exchange_sides
from carina.models.plausibility import Plausibility, plausibility_of
from carina.models.ranking import auroc
from carina.models.store import ModelStore
from carina.models.version import PLAUSIBILITY_NAME
from carina.registry import find_tasks
from carina.structures import label_set

SPEC = dataclasses.replace(find_tasks().get("thorax_ct"), labels=label_set("lung_left", "lung_right", "heart"))
FLAT = find_tasks().get("cxr_anatomy")
SHAPE = (44, 36, 40)
RIGHT, LEFT, HEART = 2, 1, 3


def chest(seed: int) -> np.ndarray:
    """`(44, 36, 40)` label indices; no two patients are alike. The left lung is the smaller one and lies at low x."""
    random = np.random.default_rng(seed)
    x, y, z = np.indices(SHAPE, dtype=float)
    centre = np.array([22, 18, 20]) + random.uniform(-2, 2, 3)
    scale = random.uniform(0.85, 1.15) * random.uniform(0.95, 1.05, 3)

    def ellipsoid(offset, radii):
        terms = zip((x, y, z), centre + np.array(offset) * scale, np.array(radii) * scale, strict=True)
        return sum(((axis - middle) / radius) ** 2 for axis, middle, radius in terms) < 1

    label = np.zeros(SHAPE, dtype=np.uint8)
    label[ellipsoid((10, 0, 0), (7, 9, 13))] = RIGHT
    label[ellipsoid((-10, 0, 0), (6, 9, 12))] = LEFT
    label[ellipsoid((-2, 2, -5), (6, 5, 5))] = HEART
    return label


def volume(array: np.ndarray) -> Volume:
    return Volume(array, Grid(array.shape, np.diag([5.0, 5.0, 5.0, 1.0])))


@pytest.fixture(scope="module")
def usual() -> Plausibility:
    found = Plausibility.of((volume(chest(seed)) for seed in range(24)), spec=SPEC, names=SPEC.labels.names)
    assert found is not None
    return found


def moved(label: np.ndarray, index: int, steps: int) -> np.ndarray:
    mask = label == index
    without = np.where(mask, 0, label)
    return np.where(np.roll(mask, steps, axis=2), index, without).astype(np.uint8)


def without_half(label: np.ndarray) -> np.ndarray:
    """The upper half of the right lung is missing, as a lobe would be."""
    upper = np.flatnonzero((label == RIGHT).any(axis=(0, 1))).mean()
    return np.where((label == RIGHT) & (np.arange(SHAPE[2]) > upper), 0, label).astype(np.uint8)


def in_crumbs(label: np.ndarray) -> np.ndarray:
    return np.where((label == HEART) & (np.indices(SHAPE).sum(axis=0) % 4 < 1), 0, label).astype(np.uint8)


def with_islands(label: np.ndarray) -> np.ndarray:
    label = label.copy()
    label[:4, :4, :8] = RIGHT
    return label


FAULTS = {
    "exchanged": (lambda label: exchange_sides(label, SPEC.labels), "lung_left and lung_right look exchanged"),
    "half missing": (without_half, "lung_right"),
    "missing": (lambda label: np.where(label == HEART, 0, label).astype(np.uint8), "heart is missing"),
    "shifted": (lambda label: moved(label, HEART, 9), "heart has an unusual shape or place"),
    "in pieces": (with_islands, "lung_right is in pieces"),
    "crumbling": (in_crumbs, "heart has holes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_drafts_with_a_fault_rank_below_right_ones_and_say_why(usual, fault):
    spoil, reason = FAULTS[fault]
    labels = [chest(seed) for seed in range(100, 110)]
    right = [usual.judge(volume(label), SPEC.labels) for label in labels]
    wrong = [usual.judge(volume(spoil(label)), SPEC.labels) for label in labels]
    scores = np.array([-verdict.score for verdict in right + wrong])
    assert auroc(scores, np.arange(20) >= 10) > 0.95
    said = sum(any(reason in text for text in verdict.reasons) for verdict in wrong)
    assert said >= 8, [verdict.reasons for verdict in wrong]


def test_right_drafts_of_unseen_patients_are_plausible_whatever_their_grid(usual):
    scores = []
    for seed in range(200, 210):
        label = np.ascontiguousarray(chest(seed).transpose(2, 0, 1)[::-1])
        affine = np.array([[0, 5.0, 0, 0], [0, 0, 5.0, 0], [-5.0, 0, 0, 0], [0, 0, 0, 1]])
        scores.append(usual.judge(Volume(label, Grid(label.shape, affine)), SPEC.labels).score)
    assert np.median(scores) > 0.7
    assert min(scores) > 0.5


def test_an_empty_draft_is_as_implausible_as_can_be(usual):
    verdict = usual.judge(volume(np.zeros(SHAPE, dtype=np.uint8)), SPEC.labels)
    assert verdict.score == 0
    assert verdict.reasons == tuple(f"{name} is missing" for name in SPEC.labels.names)


def test_what_is_usual_is_kept_with_the_version_and_comes_back(usual, tmp_path):
    from torch import zeros

    models = ModelStore(tmp_path)
    version = models.add("thorax_ct", {"x": zeros(1)}, fingerprint="", labels={}, plausibility=usual)
    read = plausibility_of(version)
    assert read is not None
    label = volume(without_half(chest(5)))
    before, after = (one.judge(label, SPEC.labels) for one in (usual, read))
    assert after.score == pytest.approx(before.score, abs=0.01)
    assert after.reasons == before.reasons
    (version.folder / PLAUSIBILITY_NAME).write_bytes(b"something else")
    with pytest.raises(ConfigurationError, match="drafts are then not judged"):
        plausibility_of(version)


def test_few_labels_and_imported_weights_know_nothing(tmp_path):
    from torch import zeros

    few = (volume(chest(seed)) for seed in range(4))
    assert Plausibility.of(few, spec=SPEC, names=SPEC.labels.names) is None
    version = ModelStore(tmp_path).add("thorax_ct", {"x": zeros(1)}, fingerprint="", labels={})
    assert plausibility_of(version) is None


def test_overlapping_labels_of_a_radiograph_are_judged_each_by_itself():
    def radiograph(seed: int) -> np.ndarray:
        flat = chest(seed)
        lungs = [(flat == index).any(axis=1) for index in (LEFT, RIGHT)]
        heart = (flat == HEART).any(axis=1)
        airways = np.zeros_like(heart)
        airways[20:24, 25:38] = True
        return (lungs[0] + 2 * lungs[1] + 4 * heart + 8 * airways).astype(np.uint8)[..., None]

    known = (volume(radiograph(seed)) for seed in range(16))
    usual = Plausibility.of(known, spec=FLAT, names=FLAT.labels.names)
    assert usual is not None
    right = usual.judge(volume(radiograph(50)), FLAT.labels)
    wrong = usual.judge(volume(radiograph(50) & 0b0111), FLAT.labels)
    assert right.score > 0.5
    assert wrong.reasons[0] == "airways is missing"
    assert wrong.structures["airways"] > 0.9
