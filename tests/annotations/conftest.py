"""A store in a folder of its own, and a small oblique, anisotropic label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from carina.annotations.store import AnnotationStore, open_annotations
from carina.geometry import Grid, Volume
from carina.settings import Settings

NAMES = {"liver": 5, "aorta": 52}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> Iterator[AnnotationStore]:
    opened = open_annotations(settings)
    yield opened
    opened.close()


@pytest.fixture
def grid() -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -7, 25], degrees=True).as_matrix() @ np.diag([0.7, 1.1, 4.0])
    affine[:3, 3] = -31.25, 17.5, 402.125
    return Grid((9, 8, 5), affine)


@pytest.fixture
def label(grid: Grid) -> Volume:
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[1:4, 2:6, 1:3] = NAMES["liver"]
    array[6:8, 1:3, :] = NAMES["aorta"]
    return Volume(array, grid)


@pytest.fixture
def submit(store: AnnotationStore, label: Volume) -> Callable[..., object]:
    """Submit the label for an image, with whatever else is said."""

    def call(image_id: str = "1.2.3", **more):
        return store.submit(image_id, more.pop("label", label), **{"names": NAMES, **more})

    return call
