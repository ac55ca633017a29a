"""Patches lie where SciPy's affine transform puts them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from carina.trainers.resampling import about, resample


def test_a_turned_and_moved_patch_equals_scipys_in_millimetres():
    spacing = torch.tensor([1.0, 2.0, 3.0])
    image = torch.rand(2, 1, 18, 14, 10, generator=torch.Generator().manual_seed(0))
    matrices = about(0, torch.tensor([0.0, 0.2])) @ about(2, torch.tensor([0.1, -0.15])) * 1.1
    moves = torch.tensor([[0.0, 0.0, 0.0], [0.05, -0.1, 0.1]])
    size = torch.tensor(image.shape[2:])
    turned, label = resample(
        image, (image > 0.5).byte(), matrices, moves, extent=size * spacing, where=torch.tensor([True, True])
    )
    for sample in range(2):
        matrix = (matrices[sample] * spacing[None, :] / spacing[:, None]).numpy()
        centre = (size.numpy() - 1) / 2
        offset = centre - matrix @ centre + moves[sample].numpy() * size.numpy()
        expected = ndimage.affine_transform(image[sample, 0].numpy(), matrix, offset, order=1, mode="nearest")
        inner = (slice(4, -4), slice(4, -4), slice(3, -3))
        np.testing.assert_allclose(turned[sample, 0].numpy()[inner], expected[inner], atol=1e-4)
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) == {0, 1}


def test_only_the_chosen_patches_change():
    image = torch.rand(3, 1, 6, 6, 6)
    where = torch.tensor([False, True, False])
    turned, _ = resample(
        image, image.byte(), about(1, torch.full((3,), 0.5)), torch.zeros(3, 3), extent=torch.ones(3), where=where
    )
    assert [torch.equal(turned[one], image[one]) for one in range(3)] == [True, False, True]
