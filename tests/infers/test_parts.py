"""Parts of an image come once each, whatever the image's size and the windows'."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from carina.errors import CancelledError
from carina.geometry import Grid, Volume
from carina.infers.parts import logits_of_parts
from carina.preprocessing import prepare
from carina.registry import find_tasks


class Copy(nn.Module):
    """Gives its input as the logits of both classes."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.expand(-1, 2, -1, -1, -1)


@pytest.fixture
def spec():
    return dataclasses.replace(
        find_tasks().get("thorax_ct"), spacing_mm=None, body_threshold=None, roi_voxels=(16, 16, 16)
    )


@pytest.mark.parametrize("shape", [(16, 16, 16), (37, 20, 16), (41, 33, 5)])
def test_every_voxel_comes_once(spec, shape):
    image = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32) / 100
    prepared = prepare(Volume(image, Grid(shape, np.diag([1.0, 1.0, 1.0, 1.0]))), spec)
    parts = list(logits_of_parts(Copy(), prepared, spec=spec, device="cpu"))
    seen = torch.cat([part[0].flatten() for part in parts])
    assert torch.equal(seen.sort().values, prepared.tensor.flatten().sort().values)
    assert all(len(part) == 2 for part in parts)


def test_stops_between_windows_when_cancelled(spec):
    shape = (48, 16, 16)
    prepared = prepare(Volume(np.zeros(shape, np.float32), Grid(shape, np.eye(4))), spec)
    parts = logits_of_parts(Copy(), prepared, spec=spec, device="cpu", cancelled=iter([False, True]).__next__)
    next(parts)
    with pytest.raises(CancelledError):
        next(parts)
