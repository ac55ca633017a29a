from __future__ import annotations

import numpy as np
import torch

from carina.networks.guidance import click_maps


def test_the_map_is_a_gaussian_around_each_click_of_its_channel():
    maps = click_maps({2: [(4.0, 5.0, 6.0)]}, shape=(10, 11, 12), channels=3)
    distance = np.linalg.norm(np.stack(np.indices((10, 11, 12)), -1) - (4, 5, 6), axis=-1)
    assert np.allclose(maps[2].numpy(), np.exp(-(distance**2) / 8), atol=1e-6)
    assert not maps[:2].any()


def test_a_second_click_never_lowers_the_first():
    one = click_maps({0: [(2, 2)]}, shape=(9, 9), channels=1)
    both = click_maps({0: [(2, 2), (3, 2)]}, shape=(9, 9), channels=1)
    assert torch.all(both >= one)
    assert float(both.max()) == 1.0


def test_no_click_is_an_empty_map():
    assert not click_maps({}, shape=(4, 5, 6), channels=2).any()
