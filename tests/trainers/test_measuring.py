"""What epochs are compared by says something of the labels there are, and of nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from carina.geometry import Volume
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import without_label
from carina.trainers.measuring import Measuring

from .conftest import draw_toy


@pytest.fixture
def volumes(tmp_path, spec, toy_case):
    """One image with both labels, and one that was looked at and has none."""
    cache = VolumeCache(tmp_path, spec)
    empty = without_label(image_id="empty", patient_id="other", revision="1", load=lambda: draw_toy(1)[0])
    return cache.get(toy_case(0)), cache.get(empty)


def measuring(spec, value: int) -> Measuring:
    """Everything is drawn as one label."""

    def predict(network, prepared, **arguments):
        return Volume(np.full(prepared.source.shape, value, dtype=np.uint8), prepared.source)

    return Measuring(spec=spec, predict=predict, device=torch.device("cpu"), cancelled=lambda: False)


@pytest.mark.parametrize("drawn", [0, 1])
def test_images_without_any_label_define_no_dice_whatever_is_drawn(spec, volumes, drawn):
    _, empty = volumes
    found = measuring(spec, drawn).dice(torch.nn.Identity(), [empty])
    assert set(found) == {"liver", "spleen"}
    assert all(math.isnan(value) for value in found.values())


def test_what_is_drawn_in_an_image_without_it_counts_beside_images_that_have_labels(spec, volumes):
    found = measuring(spec, 1).dice(torch.nn.Identity(), volumes)
    alone = measuring(spec, 1).dice(torch.nn.Identity(), volumes[:1])
    assert alone["liver"] > 0
    assert found["liver"] == pytest.approx(alone["liver"] / 2)
    assert found["spleen"] == 0
