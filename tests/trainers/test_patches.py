"""Patches are balanced over labels, exact copies of the volume, and as large as they need to be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.geometry import Grid
from carina.structures import label_set
from carina.trainers.cache import CachedVolume, VolumeCache, sample_voxels
from carina.trainers.patches import PatchSampler, annotated_channels, fitting_patch


def volume_of(label: np.ndarray, annotated=None) -> CachedVolume:
    """An image whose every voxel has its own value."""
    image = np.linspace(-1, 1, label.size, dtype=np.float32).reshape(label.shape).astype(np.float16)
    return CachedVolume(
        image_id="x",
        read={"image": image, "label": label}.__getitem__,
        grid=Grid(label.shape, np.eye(4)),
        voxels=sample_voxels(label, label_set("liver", "spleen")),
        annotated=annotated,
    )


def test_a_tiny_label_is_met_as_often_as_a_huge_one(spec):
    label = np.zeros((40, 40, 40), dtype=np.uint8)
    label[:, :20] = 1
    label[30, 35, 35] = 2
    sampler = PatchSampler([volume_of(label)], spec=spec, patch_voxels=(8, 8, 8))
    random = np.random.default_rng(0)
    with_tiny = sum(bool((sampler.draw(1, random=random).label == 2).any()) for _ in range(300)) / 300
    assert 0.25 < with_tiny < 0.5


def test_patches_are_cut_from_the_volume(spec):
    label = np.random.default_rng(0).integers(0, 3, (17, 19, 23), dtype=np.uint8)
    volume = volume_of(label)
    batch = PatchSampler([volume], spec=spec, patch_voxels=(8, 16, 16)).draw(5, random=np.random.default_rng(1))
    assert batch.image.shape == batch.label.shape == (5, 1, 8, 16, 16)
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(volume.image, np.float32), (8, 16, 16))
    truths = np.lib.stride_tricks.sliding_window_view(label, (8, 16, 16))
    for image, truth in zip(batch.image[:, 0].numpy(), batch.label[:, 0].numpy(), strict=True):
        (where,) = np.argwhere(windows[..., 0, 0, 0] == image[0, 0, 0])
        np.testing.assert_array_equal(windows[tuple(where)], image)
        np.testing.assert_array_equal(truths[tuple(where)], truth)


def test_a_thin_volume_is_filled_with_air_and_background(spec):
    batch = PatchSampler([volume_of(np.ones((16, 16, 3), dtype=np.uint8))], spec=spec, patch_voxels=(16, 16, 8)).draw(
        1, random=np.random.default_rng(0)
    )
    assert (batch.label[..., 3:] == 0).all()
    assert (batch.image[..., 3:] == -1).all()
    assert (batch.label[..., :3] == 1).all()


def test_one_seed_gives_one_sequence(tmp_path, spec, toy_case):
    cache = VolumeCache(tmp_path, spec)
    sampler = PatchSampler([cache.get(toy_case(seed)) for seed in range(2)], spec=spec, patch_voxels=(8, 8, 8))
    runs = []
    for _ in range(2):
        random = np.random.default_rng(4)
        runs.append(torch.stack([sampler.draw(2, random=random).image for _ in range(3)]))
    assert torch.equal(*runs)


@pytest.mark.parametrize("overlapping", [True, False])
def test_mirrored_patients_have_their_sides_exchanged_in_label_and_annotation(spec, overlapping):
    labels = label_set("lung_left", "lung_right", "heart", overlapping=overlapping)
    symmetric = dataclasses.replace(spec, labels=labels, symmetric=True)
    left, right, _ = labels.values.values()
    label = np.zeros((8, 4, 2), dtype=np.uint8)
    label[:3], label[6:] = left, right  # the right one is the smaller one, and was not looked for elsewhere
    volume = dataclasses.replace(
        volume_of(label), annotated=frozenset({"lung_left"}), voxels={1: np.argwhere(label == left)}
    )
    sampler = PatchSampler([volume], spec=symmetric, patch_voxels=(8, 4, 2), mirrored=True)
    batch = sampler.draw(40, random=np.random.default_rng(0))
    mirrored = batch.label[:, 0, 7, 0, 0] == right
    mirrored &= batch.label[:, 0, 5, 0, 0] == right
    assert 10 <= mirrored.sum() <= 30
    first = 0 if overlapping else 1
    for image, drawn, annotated, turned in zip(batch.image, batch.label, batch.annotated, mirrored, strict=True):
        expected = torch.tensor(np.asarray(volume.image, np.float32))
        assert torch.equal(image[0], expected.flip(0) if turned else expected)
        assert (drawn == left).sum() == (16 if turned else 24)
        assert annotated[first : first + 2].tolist() == ([False, True] if turned else [True, False])


def test_a_volume_without_labels_gives_background(spec):
    sampler = PatchSampler([volume_of(np.zeros((8, 8, 8), dtype=np.uint8))], spec=spec, patch_voxels=(8, 8, 8))
    assert not sampler.draw(2, random=np.random.default_rng(0)).label.any()


def test_only_annotated_labels_are_spoken_about(spec):
    label = np.zeros((4, 4, 4), dtype=np.uint8)
    assert annotated_channels(volume_of(label), spec).tolist() == [True, True, True]
    assert annotated_channels(volume_of(label, frozenset({"spleen"})), spec).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("shapes", "wanted", "dimension", "expected"),
    [
        ([(100, 90, 80)], (64, 64, 64), 3, (64, 64, 64)),
        ([(100, 90, 17), (50, 50, 20)], (64, 64, 64), 3, (64, 64, 24)),
        ([(5, 30, 33)], (60, 60, 32), 3, (8, 32, 32)),
        ([(100, 90, 1)], (64, 64, 64), 2, (64, 64, 1)),
    ],
)
def test_patches_are_no_larger_than_the_volumes_need(shapes, wanted, dimension, expected):
    volumes = [volume_of(np.zeros(shape, dtype=np.uint8)) for shape in shapes]
    assert fitting_patch(volumes, wanted=wanted, multiple=8, dimension=dimension) == expected


def test_each_patch_takes_the_label_of_one_reader_and_an_image_counts_once_however_many_read_it(spec):
    """Of three readers one draws the structure: in the long run a third of the patches around it show it."""
    drawn = np.zeros((8, 8, 8), dtype=np.uint8)
    drawn[2:6, 2:6, 2:6] = 2
    read = [dataclasses.replace(volume_of(label), image_id="read") for label in (0 * drawn, drawn, 0 * drawn)]
    arrays = {"image": np.ones((8, 8, 8), dtype=np.float16), "label": drawn}
    other = dataclasses.replace(volume_of(drawn), image_id="other", read=arrays.__getitem__)
    sampler = PatchSampler([*read, other], spec=spec, patch_voxels=(8, 8, 8))
    batch = sampler.draw(3000, random=np.random.default_rng(4))
    of_read = batch.image.flatten(1).mean(dim=1) != 1
    has = (batch.label == 2).flatten(1).any(dim=1)
    assert float(of_read.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(has[of_read].float().mean()) == pytest.approx(1 / 3, abs=0.05)
