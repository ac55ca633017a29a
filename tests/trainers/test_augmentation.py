"""Augmentation keeps image and label together, invents no label and never exchanges sides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from carina.structures import label_set
from carina.task import Percentiles, Window, ZScoreThenRange
from carina.trainers.augmentation import augment, has_sides


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_blobs() -> torch.Tensor:
    label = torch.zeros(1, 1, 32, 32, 32, dtype=torch.uint8)
    label[..., 4:12, 10:22, 10:22] = 1
    label[..., 20:28, 10:22, 10:22] = 2
    return label


@pytest.mark.parametrize("seed", range(12))
def test_image_and_label_move_together(spec, seed):
    label = two_blobs()
    image = label.float() - 1
    moved_image, moved_label = augment(image, label, spec=spec, random=generator(seed))
    assert moved_image.shape == image.shape
    assert moved_label.dtype == label.dtype
    assert set(moved_label.unique().tolist()) <= {0, 1, 2}
    levels = [float(moved_image[moved_label == value].median()) for value in (0, 1, 2)]
    assert levels[0] < levels[1] < levels[2]
    borders = np.abs(moved_image - moved_image.round())  # nothing else than edges and noise lies between levels
    assert float(borders.median()) < 0.25


@pytest.mark.parametrize("flips", [True, False])
def test_without_strength_patches_stay_as_they_are(spec, flips):
    named = dataclasses.replace(
        spec, labels=label_set(*(("liver", "spleen") if flips else ("lung_left", "lung_right")))
    )
    assert has_sides(named) != flips
    label = two_blobs()
    for seed in range(8):
        image, same = augment(label.float(), label, spec=named, random=generator(seed), strength=0.0)
        assert torch.equal(image, label.float())
        assert torch.equal(same, label)


def test_changes_shrink_with_the_strength(spec):
    label = two_blobs()
    image = label.float()
    lateral = dataclasses.replace(spec, labels=label_set("lung_left", "lung_right"))
    changes = [
        sum(
            float(
                (augment(image, label, spec=lateral, random=generator(seed), strength=strength)[0] - image).abs().mean()
            )
            for seed in range(8)
        )
        for strength in (0.1, 0.5, 1.0)
    ]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_sides_are_never_exchanged(spec):
    lateral = dataclasses.replace(spec, labels=label_set("lung_left", "lung_right"))
    label = two_blobs()
    for seed in range(30):
        moved = augment(label.float(), label, spec=lateral, random=generator(seed))[1][0, 0].numpy()
        centres = ndimage.center_of_mass(np.ones_like(moved), moved, [1, 2])
        assert centres[0][0] + 8 < centres[1][0]


def test_tasks_without_sides_are_flipped(spec):
    label = two_blobs()
    flipped = 0
    for seed in range(20):
        moved = augment(label.float(), label, spec=spec, random=generator(seed))[1][0, 0].numpy()
        centres = ndimage.center_of_mass(np.ones_like(moved), moved, [1, 2])
        flipped += centres[0][0] > centres[1][0]
    assert 4 <= flipped <= 16


def test_symmetric_tasks_are_not_turned_upside_down(spec):
    symmetric = dataclasses.replace(spec, symmetric=True)
    label = two_blobs()
    for seed in range(20):
        moved = augment(label.float(), label, spec=symmetric, random=generator(seed))[1][0, 0].numpy()
        centres = ndimage.center_of_mass(np.ones_like(moved), moved, [1, 2])
        assert centres[0][0] + 8 < centres[1][0]


def test_rotation_is_rigid_in_millimetres(spec):
    """A ball of equal radius in mm stays a ball on an anisotropic grid, up to the drawn scale."""
    spacing = np.array([1.0, 2.0, 4.0])
    anisotropic = dataclasses.replace(spec, spacing_mm=tuple(spacing), labels=label_set("lung_left"))
    shape = (48, 24, 12)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    offset = (index - (np.array(shape) - 1) / 2) * spacing
    label = torch.from_numpy((np.linalg.norm(offset, axis=-1) < 16).astype(np.uint8))[None, None]
    for seed in range(10):
        moved = augment(label.float(), label, spec=anisotropic, random=generator(seed))[1][0, 0].numpy()
        extents = (np.argwhere(moved).std(axis=0) * spacing).round(2)
        assert extents.max() / extents.min() < 1.06


def test_two_dimensional_images_turn_in_their_plane(spec):
    flat = dataclasses.replace(spec, dimension=2, spacing_mm=(1.0, 1.0, 1.0), labels=label_set("lung_left"))
    label = two_blobs()[..., 16:17]
    moved = [augment(label.float(), label, spec=flat, random=generator(seed))[1] for seed in range(8)]
    assert all(result.shape == label.shape for result in moved)
    assert any(not torch.equal(result, label) for result in moved)
    assert all(0.7 < result.bool().sum() / label.bool().sum() < 1.3 for result in moved)


def test_one_seed_gives_one_result(spec):
    label = two_blobs()
    first, second = (augment(label.float(), label, spec=spec, random=generator(5)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], augment(label.float(), label, spec=spec, random=generator(6))[0])


def largest_change(spec) -> float:
    blank = torch.zeros(1, 1, 16, 16, 16, dtype=torch.uint8)
    changed = (augment(blank.float(), blank, spec=spec, random=generator(seed))[0] for seed in range(10))
    return max(float(image.abs().max()) for image in changed)


def test_shading_never_turns_air_into_lung(spec):
    """Air is -1000 HU, lung about -850: half their distance, in the network's units, must not be crossed."""
    window = dataclasses.replace(spec, intensity=Window(lower=-1000.0, upper=400.0))
    half_the_distance = 0.5 * 150.0 * 2.0 / 1400.0
    assert 0.02 < largest_change(window) < half_the_distance


def test_soft_tissue_survives_where_the_whole_range_is_used(spec):
    ranged = dataclasses.replace(spec, intensity=ZScoreThenRange())
    assert 0.01 < largest_change(ranged) < 0.75 * largest_change(spec)


def test_a_picture_moves_within_the_page_and_takes_its_overlapping_labels_along(spec):
    labels = label_set("lung_left", "airways", overlapping=True)
    flat = dataclasses.replace(spec, dimension=2, labels=labels, intensity=Percentiles())
    label = torch.zeros(6, 1, 48, 48, 1, dtype=torch.uint8)
    label[:, :, 12:30, 14:34] += 1
    label[:, :, 24:36, 20:28] += 2
    image = label.float() - 1.5
    moved_image, moved_label = augment(image, label, spec=flat, random=generator(3))
    centres = []
    for sample_image, sample_label in zip(moved_image, moved_label, strict=True):
        assert set(sample_label.unique().tolist()) == {0, 1, 2, 3}
        levels = [float(sample_image[sample_label == value].median()) for value in range(4)]
        assert levels == sorted(levels)
        centres.append((sample_label > 0).nonzero()[:, 1:3].float().mean(dim=0))
    spread = torch.stack(centres).std(dim=0)
    assert (spread > 0.5).all()
