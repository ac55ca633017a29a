"""Radiographs are changed much, but stay radiographs: labels go along, and grey values keep their order."""

from __future__ import annotations

import pytest
import torch

from carina.trainers.pictures import change_picture


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def page(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.zeros(count, 1, 48, 40, 1, dtype=torch.uint8)
    label[:, :, 10:30, 12:30] += 1
    label[:, :, 22:36, 18:26] += 2
    return label.float() / 2 - 0.75, label


def test_labels_move_with_the_picture_and_none_is_invented():
    image, label = page(16)
    changed, moved = change_picture(image, label, random=generator(0))
    assert (changed.shape, moved.shape, moved.dtype) == (image.shape, label.shape, label.dtype)
    assert set(moved.unique().tolist()) <= {0, 1, 2, 3}
    rising = 0
    for picture, drawn in zip(changed, moved, strict=True):
        levels = [float(picture[drawn == value].median()) for value in range(4)]
        rising += levels == sorted(levels)
    assert rising >= 14  # one rectangle may cover a whole label


def test_every_sample_is_changed_in_its_own_way():
    image, label = page(12)
    changed, moved = change_picture(image, label, random=generator(1))
    centres = torch.stack([(drawn[0, ..., 0] > 0).nonzero().float().mean(dim=0) for drawn in moved])
    assert (centres.std(dim=0) > 0.8).all()
    assert changed.flatten(1).median(dim=1).values.std() > 0.05


def test_straight_outlines_are_bent():
    label = torch.zeros(16, 1, 96, 96, 1, dtype=torch.uint8)
    label[:, :, 40:] = 1
    _, moved = change_picture(label.float(), label, random=generator(5))
    bent = 0
    for drawn in moved[:, 0, :, :, 0]:
        edge = (96 - drawn.float().sum(dim=0))[16:80]  # where the lower part begins, column by column
        slope = (edge[-1] - edge[0]) / (len(edge) - 1)
        bent += bool((edge - edge[0] - slope * torch.arange(len(edge))).abs().max() > 1.5)
    assert bent >= 6


def test_an_even_picture_becomes_uneven_here_and_there():
    image = torch.zeros(16, 1, 64, 64, 1)
    changed, _ = change_picture(image, image.byte(), random=generator(6))
    corners = torch.stack([changed[:, 0, x : x + 16, y : y + 16].mean(dim=(1, 2, 3)) for x in (0, 48) for y in (0, 48)])
    uneven = (corners.amax(dim=0) - corners.amin(dim=0)) > 0.1
    assert 3 <= int(uneven.sum()) <= 15
    clear, _ = change_picture(image, image.byte(), random=generator(6), clouds=False)
    corners = torch.stack([clear[:, 0, x : x + 16, y : y + 16].mean(dim=(1, 2, 3)) for x in (0, 48) for y in (0, 48)])
    assert int(((corners.amax(dim=0) - corners.amin(dim=0)) > 0.1).sum()) < int(uneven.sum())


def test_changes_shrink_with_the_strength():
    image, label = page()
    changes = [
        float((change_picture(image, label, random=generator(2), strength=strength)[0] - image).abs().mean())
        for strength in (0.05, 0.3, 1.0)
    ]
    assert changes == sorted(changes)
    assert changes[0] < 0.1


def test_one_seed_gives_one_result_and_leaves_the_given_picture_alone():
    image, label = page()
    before = image.clone()
    first, second = (change_picture(image, label, random=generator(3)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(image, before)


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_a_tiny_picture_is_no_trouble(size):
    image = torch.zeros(4, 1, *size, 1)
    changed, _ = change_picture(image, image.byte(), random=generator(4))
    assert torch.isfinite(changed).all()
