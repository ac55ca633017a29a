"""A tiny task and patients made of a bright ball (liver) and a brighter box (spleen) on noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from carina.geometry import Grid, Volume
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, TrainerOptions, Window
from carina.trainers.cases import Case, without_label

SHAPE = (20, 18, 14)


class Died(BaseException):
    """The process is gone: nothing may be caught, nothing written any more."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes on one thread, so that two trainings give the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def spec() -> TaskSpec:
    return TaskSpec(
        name="toy_ct",
        kind="segmentation",
        description="Two shapes.",
        modality=("CT",),
        dimension=3,
        labels=label_set("liver", "spleen"),
        spacing_mm=(2.0, 2.0, 2.0),
        intensity=Window(lower=0.0, upper=100.0),
        roi_voxels=(16, 16, 16),
        network=NetworkSpec(name="segresnet", arguments={"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)}),
        trainer=TrainerOptions(
            max_epochs=3,
            steps_per_epoch=12,
            batch_size=1,
            patch_voxels=(16, 16, 16),
            learning_rate=1e-2,
            validation_fraction=0.3,
            holdout_fraction=0.3,
        ),
    )


def draw_toy(seed: int) -> tuple[Volume, Volume]:
    """An oblique, flipped, anisotropic image and its label in the toy task's indices."""
    random = np.random.default_rng(seed)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", random.uniform(-8, 8, 3), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-2.0, -2.2, 2.5])
    affine[:3, 3] = random.uniform(-50, 50, 3)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    centre = np.array([6, 8, 6]) + random.integers(0, 2, 3)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[np.linalg.norm(index - centre, axis=-1) < 4.2] = 1
    start = np.array([12, 5, 4]) + random.integers(0, 2, 3)
    label[start[0] : start[0] + 5, start[1] : start[1] + 7, start[2] : start[2] + 6] = 2
    image = np.array([10.0, 50.0, 90.0])[label] + random.normal(0, 4, SHAPE)
    grid = Grid(SHAPE, affine)
    return Volume(image.astype(np.float32), grid), Volume(label, grid)


@pytest.fixture(scope="session")
def toy_case() -> Callable[..., Case]:
    """Make one case: `toy_case(3)`, other fields by name."""

    def make(seed: int, **fields) -> Case:
        case = Case(image_id=f"image{seed}", patient_id=f"patient{seed}", load=lambda: draw_toy(seed), revision="1")
        return dataclasses.replace(case, **fields)

    return make


def unlabelled(number: int, **fields) -> Case:
    """An image of the toy task that nobody labelled, other fields by name."""
    case = without_label(
        image_id=f"pool{number}", patient_id=f"other{number}", revision="1", load=lambda: draw_toy(number)[0]
    )
    return dataclasses.replace(case, **fields)
