"""Blocks of images are hidden, and what was there is kept beside."""

from __future__ import annotations

import pytest
import torch

from carina.trainers.hiding import Hiding


def hide(image, spec, seed=0, **hiding):
    random = torch.Generator().manual_seed(seed)
    return Hiding(**hiding)(image, torch.zeros_like(image), spec=spec, random=random, strength=0.0)


def test_whole_blocks_are_hidden_and_filled_with_the_mean_of_what_is_visible(spec):
    image = torch.rand(3, 1, 12, 10, 9, generator=torch.Generator().manual_seed(1))
    shown, truth = hide(image, spec, share=0.5, block_voxels=4)
    hidden = truth[:, 1:] > 0
    assert torch.equal(truth[:, :1], image)
    assert torch.equal(shown[~hidden], image[~hidden])
    for one in range(3):
        filled = shown[one][hidden[one]]
        expected = image[one][~hidden[one]].mean()
        torch.testing.assert_close(filled, expected.expand_as(filled))
    blocks = hidden[:, :, :12, :8, :8].reshape(3, 3, 4, 2, 4, 2, 4).float().mean(dim=(2, 4, 6))
    assert set(blocks.flatten().tolist()) == {0.0, 1.0}


def test_as_much_is_hidden_as_was_asked_for_and_something_always_is(spec):
    image = torch.zeros(4, 1, 64, 64, 64)
    assert hide(image, spec, share=0.6, block_voxels=8)[1][:, 1].mean().item() == pytest.approx(0.6, abs=0.05)
    none = hide(image, spec, share=0.0, block_voxels=32)[1][:, 1]
    assert none.flatten(1).mean(dim=1).tolist() == [0.125] * 4
