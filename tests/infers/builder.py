"""Small tasks, networks and images for the tests of inference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from carina.geometry import Grid, Volume
from carina.models.plausibility import Plausibility
from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, Window


def task(**changes) -> TaskSpec:
    fields = {
        "name": "test_task",
        "kind": "segmentation",
        "description": "A task of the tests.",
        "modality": ("CT",),
        "dimension": 3,
        "labels": label_set("liver", "spleen", "stomach"),
        "spacing_mm": (2.0, 2.0, 2.0),
        "intensity": Window(lower=-1.0, upper=1.0),
        "network": NetworkSpec(name="unet", arguments={"filters": (8, 8, 8)}),
        "roi_voxels": (16, 16, 16),
    }
    return TaskSpec(**{**fields, **changes})


def oblique_affine(spacing=(0.9, 1.3, 4.0), rotation_deg=(12.0, -8.0, 20.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = (12.5, -40.0, 7.25)
    return affine


def noise_volume(shape=(30, 26, 12), *, seed: int = 0, affine: np.ndarray | None = None) -> Volume:
    array = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    return Volume(array, Grid(shape, oblique_affine() if affine is None else affine))


class Bands(nn.Module):
    """A network whose answer is known: the class is the band of intensity a voxel lies in. Counts what it is given."""

    def __init__(self, classes: int = 4, *, failures: int = 0, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        centres = torch.linspace(-1, 1, classes).view(1, -1, 1, 1, 1)
        self.register_buffer("centres", centres)
        self.shapes: list[tuple[int, ...]] = []
        self.failures = failures
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if self.failures:
            self.failures -= 1
            raise self.error("out of memory")
        self.shapes.append(tuple(x.shape))
        return -((x - self.centres) ** 2)

    @property
    def voxels(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)


def usual_organs(spec: TaskSpec) -> Plausibility:
    """Liver, spleen and stomach as boxes that differ a little from case to case."""

    def labels() -> Iterator[Volume]:
        random = np.random.default_rng(0)
        for _ in range(6):
            label = np.zeros((20, 18, 9), dtype=np.uint8)
            for index, start in enumerate(((2, 2, 1), (2, 10, 1), (11, 4, 2)), start=1):
                x, y, z = np.array(start) + random.integers(0, 2, 3)
                label[x : x + 6, y : y + 6, z : z + 4] = index
            yield Volume(label, Grid(label.shape, oblique_affine()))

    usual = Plausibility.of(labels(), spec=spec, names=spec.labels.names)
    assert usual is not None
    return usual
