"""Prepared volumes on disk: each image is resampled once, and training then reads only the patches it needs.

One folder per image, named by a hash over the image's id, its revision and what the task does to images:

    image.npy     (X', Y', Z') float16, memory-mapped
    label.npy     (X', Y', Z') uint8 or uint16 values of the labels, memory-mapped
    grid.npz      affine_ras of the working grid, and per label `voxels_<index>`: a sample of its voxels

A folder is written under another name and renamed, so it is complete or absent. Two processes may fill one cache: the
first to rename wins and the other uses its result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import StorageError
from ..geometry import Grid, Volume, three_sizes
from ..label_maps import mask_of
from ..labels import LabelSet
from ..preprocessing import AxisMap, Prepared, prepare, prepare_label
from ..task import TaskSpec
from .cases import Case

_FORMAT = 1
_SAMPLED_VOXELS = 4096
VoxelIndices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CachedVolume:
    """One prepared image and its label.

    Attributes:
        image_id: Of the image.
        read: Gives the array called `image` or `label`.
        grid: The working grid.
        voxels: Label index (0: background) → `(n, 3)` indices of at most a few thousand of its voxels.
        annotated: Names of the labels the annotator cared for; None: all of the task's.
    """

    image_id: str
    read: Callable[[str], NDArray[Any]]
    grid: Grid
    voxels: Mapping[int, VoxelIndices]
    annotated: frozenset[str] | None

    @property
    def image(self) -> NDArray[np.float16]:
        """`(X', Y', Z')` in the network's range, mapped anew each time: a training has more images than open files."""
        return self.read("image")

    @property
    def label(self) -> NDArray[Any]:
        """`(X', Y', Z')` label map, likewise."""
        return self.read("label")

    @property
    def tensor(self) -> Tensor:
        """`(1, X', Y', Z')` float32, read from the file."""
        return torch.from_numpy(np.asarray(self.image, dtype=np.float32))[None]

    def prepared(self) -> Prepared:
        """As inference gets it, but with the working grid as the image's own."""
        x, y, z = (AxisMap(first=0.0, step=1.0, size=size, source_size=size) for size in self.grid.shape)
        return Prepared(
            tensor=self.tensor,
            grid=self.grid,
            source=self.grid,
            order=(0, 1, 2),
            flips=(False, False, False),
            axes=(x, y, z),
        )

    def truth(self) -> Volume:
        """The label map on the working grid."""
        return Volume(self.label, self.grid)


class VolumeCache:
    """Prepared volumes of one task.

    Args:
        folder: Any folder; it may be deleted while no training runs.
        spec: Decides what is done to the images.
    """

    def __init__(self, folder: Path, spec: TaskSpec) -> None:
        self.folder = folder
        self.spec = spec

    def get(self, case: Case) -> CachedVolume:
        """The prepared volume of a case, made now if it is not there."""
        folder = self.folder / self._key(case)
        if not folder.is_dir():
            self._fill(folder, case)
        with np.load(folder / "grid.npz") as stored:
            voxels = {int(name.split("_")[1]): stored[name] for name in stored.files if name.startswith("voxels_")}
            affine = stored["affine_ras"]
        read = partial(_mapped, folder)
        return CachedVolume(
            image_id=case.image_id,
            read=read,
            grid=Grid(three_sizes(read("label")), affine),
            voxels=voxels,
            annotated=case.annotated,
        )

    def prune(self, keep: Iterable[Case]) -> None:
        """Delete the volumes of all other cases: older revisions of labels, other settings, leftovers of a crash."""
        kept = {self._key(case) for case in keep}
        for folder in self.folder.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _key(self, case: Case) -> str:
        spec = self.spec
        decisive = {
            "format": _FORMAT,
            "image_id": case.image_id,
            "revision": case.revision,
            "labels": spec.labels.values,
            "spacing_mm": spec.spacing_mm,
            "matrix_voxels": spec.matrix_voxels,
            "intensity": [type(spec.intensity).__name__, dataclasses.asdict(spec.intensity)],
            "body_threshold": spec.body_threshold,
            "dimension": spec.dimension,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]

    def _fill(self, folder: Path, case: Case) -> None:
        image, label = case.load()
        prepared = prepare(image, self.spec)
        truth = np.ascontiguousarray(prepare_label(label, prepared))
        self.folder.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(dir=self.folder, prefix=".incoming-"))
        try:
            np.save(incoming / "image.npy", prepared.tensor[0].numpy().astype(np.float16))
            np.save(incoming / "label.npy", truth)
            samples = {f"voxels_{index}": voxels for index, voxels in sample_voxels(truth, self.spec.labels).items()}
            np.savez(incoming / "grid.npz", affine_ras=prepared.grid.affine_ras, **samples)
            incoming.rename(folder)
        except OSError as error:  # of a full disk NumPy says no more than that less was written than was to be
            shutil.rmtree(incoming, ignore_errors=True)
            if not folder.is_dir():
                raise StorageError(
                    f"Prepared images must be written whole, got '{error}'. Make room at {self.folder} and try again."
                ) from error


def _mapped(folder: Path, name: str) -> NDArray[Any]:
    """An array in a folder of the cache, memory-mapped; its file is closed once nobody holds the array."""
    array: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return array


def sample_voxels(array: NDArray[Any], labels: LabelSet, *, most: int = _SAMPLED_VOXELS) -> dict[int, VoxelIndices]:
    """For the background and each label of a label map, some of its voxels, evenly spread over them in memory order.

    Args:
        array: `(X, Y, Z)` label map of `labels`.
        labels: What the values mean.
        most: Voxels kept per label.

    Returns:
        Label index → `(n, 3)` indices; 0, the background, included.
    """
    return {
        index: np.stack(np.unravel_index(where[evenly(len(where), most)], array.shape), axis=1).astype(np.int32)
        for index, where in _places(array.reshape(-1), labels)
    }


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many positions among `count`, evenly spread."""
    return np.linspace(0, count - 1, num=min(most, count), dtype=np.int64)


def _places(flat: NDArray[Any], labels: LabelSet) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Label index and flat positions of all its voxels, for each label that has any; the background first."""
    if labels.overlapping:
        masks = [(0, flat == 0), *((label.index, mask_of(flat, label, labels)) for label in labels)]
        yield from ((index, np.flatnonzero(mask)) for index, mask in masks if mask.any())
        return
    order = np.argsort(flat, kind="stable")
    values, starts = np.unique(flat[order], return_index=True)
    yield from zip(values.tolist(), np.split(order, starts[1:]), strict=True)
