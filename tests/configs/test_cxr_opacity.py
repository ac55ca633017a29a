"""Opacities blended into lungs are learned, each kind by itself, also where both overlap."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from carina.geometry import Grid, Volume
from carina.infers.sliding_window import predict
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.task import NetworkSpec
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import Case
from carina.trainers.rehearsal import rehearse
from carina.trainers.segmentation import SegmentationLesson

SIDE = 32
SPEC = dataclasses.replace(
    find_tasks().get("cxr_opacity"),
    matrix_voxels=(SIDE, SIDE, 1),
    roi_voxels=(SIDE, SIDE, 1),
    network=NetworkSpec(name="unet", arguments={"filters": (8, 16, 16)}),
)
GLASS, CONSOLIDATION = (SPEC.labels.values[name] for name in ("ground_glass_opacity", "consolidation"))


def draw(seed: int) -> tuple[Volume, Volume]:
    """Two dark lungs; a grey haze in one of them, and something brighter that may lie within it."""
    random = np.random.default_rng(seed)
    x, y = np.indices((SIDE, SIDE))
    lungs = ((np.abs(x - SIDE / 2) - 8) / 6) ** 2 + ((y - SIDE / 2) / 12) ** 2 < 1
    middle = np.array([random.choice([8, 24]), random.integers(10, 22)])
    glass = lungs & (np.hypot(x - middle[0], y - middle[1]) < 5.5)
    middle = middle + random.integers(-3, 4, 2)
    consolidation = lungs & (np.hypot(x - middle[0], y - middle[1]) < 3.5)
    image = np.where(lungs, -1.0, 1.0) + glass + 1.6 * consolidation
    image = ndimage.gaussian_filter(image, 0.5) + random.normal(0, 0.1, image.shape)
    label = GLASS * glass + CONSOLIDATION * consolidation
    grid = Grid((SIDE, SIDE, 1), np.diag([-1.0, -1.0, 1.0, 1.0]))
    return Volume(image[..., None].astype(np.float32), grid), Volume(label[..., None].astype(np.uint8), grid)


@pytest.fixture
def volumes(tmp_path):
    cache = VolumeCache(tmp_path, SPEC)
    cases = [
        Case(image_id=f"r{seed}", patient_id=f"p{seed}", revision="1", load=lambda seed=seed: draw(seed))
        for seed in range(16)
    ]
    return [cache.get(case) for case in cases]


def test_a_short_training_finds_both_kinds_in_lungs_it_never_saw(volumes):
    options = dataclasses.replace(
        SPEC.trainer, patch_voxels=(SIDE, SIDE, 1), batch_size=8, learning_rate=1e-2, augmentation=0.5
    )
    lesson = SegmentationLesson(
        spec=SPEC, options=options, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(SPEC)
    before = lesson.dice(network, volumes[12:])
    rehearse(network, volumes[:12], lesson=lesson, steps=60)
    after = lesson.dice(network, volumes[12:])
    assert max(before.values()) < 0.4
    assert min(after.values()) > 0.6, after
