"""What benchmarks of training share: phantom patients at a small matrix, a training on few of them, intervals."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.networks.factory import build_network
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks
from carina.task import TaskSpec, Voxels
from carina.trainers.cache import CachedVolume
from carina.trainers.cases import Case, without_label
from carina.trainers.rehearsal import rehearse
from carina.trainers.segmentation import SegmentationLesson

SHAPE: Voxels = (32, 32, 24)
SPACING_MM = (10.5, 10.5, 10.6)
STEPS_PER_EPOCH = 20
BRIGHTER_HU, NOISIER_HU = 120.0, 60.0


def small_task() -> TaskSpec:
    """thorax_ct on whole phantoms."""
    spec = find_tasks().get("thorax_ct")
    trainer = dataclasses.replace(
        spec.trainer,
        patch_voxels=SHAPE,
        steps_per_epoch=STEPS_PER_EPOCH,
        patience_epochs=spec.trainer.max_epochs,
    )
    return dataclasses.replace(
        spec, spacing_mm=None, body_threshold=None, matrix_voxels=SHAPE, roi_voxels=SHAPE, trainer=trainer
    )


def patient(number: int, spec: TaskSpec, *, other_scanner: bool = False) -> Case:
    """One oblique phantom; of another scanner it is brighter and noisier."""
    made = make_chest(number, shape=SHAPE, spacing_mm=SPACING_MM, oblique_deg=(6.0, -4.0, 9.0))
    table = np.zeros(max(made.structures.values()) + 1, dtype=np.uint8)
    for value, index in spec.labels.remap(made.structures).items():
        table[value] = index
    array = made.image.array.astype(np.float32)
    if other_scanner:
        array += BRIGHTER_HU + np.random.default_rng(number).normal(0, NOISIER_HU, array.shape)
    pair = Volume(array, made.image.grid), Volume(table[made.label.array], made.label.grid)
    name = f"p{number:03d}"
    return Case(image_id=name, patient_id=name, load=lambda: pair, revision="1")


def groups_of_patients(counts: Mapping[str, int], spec: TaskSpec, *, seed: int) -> dict[str, list[Case]]:
    """Group → so many patients, of whom no other group or seed has any."""
    numbers = iter(range(1000 * seed, 1000 * seed + sum(counts.values())))
    return {group: [patient(next(numbers), spec) for _ in range(count)] for group, count in counts.items()}


def unlabelled(cases: Sequence[Case]) -> list[Case]:
    """The images alone."""
    return [
        without_label(image_id=case.image_id, patient_id=case.patient_id, revision="1", load=lambda c=case: c.load()[0])
        for case in cases
    ]


def dice_after(
    few: Sequence[CachedVolume],
    unseen: Sequence[CachedVolume],
    spec: TaskSpec,
    *,
    steps: int,
    pool: Sequence[CachedVolume] = (),
    state: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, float]:
    """Label → Dice of patients that a network never saw, after so many steps on few labels.

    Args:
        few: With labels.
        unseen: Whom it is measured on.
        spec: Its trainer options count, the seed of the first weights among them.
        steps: How many.
        pool: Images without labels.
        state: Weights to begin with; None for random ones.
    """
    lesson = SegmentationLesson(
        spec=spec, options=spec.trainer, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )
    torch.manual_seed(spec.trainer.seed)
    network = build_network(spec)
    if state is not None:
        network.load_state_dict(state)
    rehearse(network, few, lesson=lesson, steps=steps, pool=pool)
    return lesson.dice(network, unseen)


def say_environment() -> None:
    """Print what figures depend on besides the code."""
    print(f"Python {platform.python_version()}; torch {version('torch')}; {os.cpu_count()} cores; seeds from 0")


def rows_of_seeds(count: int, one_seed: Callable[[Path, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of every seed, each of which has a folder of its own; the environment is printed first."""
    say_environment()
    rows = []
    for seed in range(count):
        with tempfile.TemporaryDirectory() as folder:
            rows += one_seed(Path(folder), seed)
    return rows


def student(gain: np.ndarray) -> tuple[float, float, float]:
    """Mean of some differences and its 95 % interval by Student's t; not a number for one."""
    mean = float(gain.mean())
    half = float(stats.sem(gain) * stats.t.ppf(0.975, len(gain) - 1)) if len(gain) > 1 else float("nan")
    return mean, mean - half, mean + half
