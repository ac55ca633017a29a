"""The kinds of training, in one table: how a kind's cases are found and what its lesson is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..networks.factory import require_network
from ..task import Kind, TaskSpec, TrainerOptions
from .cases import LabelledImage
from .lesson import Cancelled, Lesson

if TYPE_CHECKING:
    from .measuring import Predict


@dataclass(frozen=True, kw_only=True)
class TrainKind:
    """One kind.

    Attributes:
        read_folder: Finds the labelled images of two folders, or of a folder and a table.
        lesson: Makes what the driver asks; see `lesson_of`.
    """

    read_folder: Callable[[Path, Path, TaskSpec], list[Any]]
    lesson: Callable[[TaskSpec, TrainerOptions, Predict, torch.device, Cancelled], Lesson[Any, Any]]


def train_kind(spec: TaskSpec) -> TrainKind:
    """The kind of a task.

    Raises:
        InvalidInputError: If it is a tool that learns nothing.
    """
    require_network(spec)
    return _KINDS[spec.kind]


def lesson_of(
    spec: TaskSpec, *, options: TrainerOptions, predict: Predict, device: torch.device, cancelled: Cancelled
) -> Lesson[Any, Any]:
    """What a training of the task learns and measures.

    Args:
        spec: The task.
        options: Of the training.
        predict: The sliding window of inference, for kinds that draw.
        device: Where it runs.
        cancelled: Asked between units of work.

    Raises:
        InvalidInputError: If the task is a tool that learns nothing.
    """
    return train_kind(spec).lesson(spec, options, predict, device, cancelled)


def read_cases(images: Path, labels: Path, spec: TaskSpec) -> list[LabelledImage]:
    """The labelled images of folders on this machine, in the order of their ids.

    Raises:
        InvalidInputError: If there are none, or something in them cannot be right.
        LabelError: If no label has a name of the task.
    """
    found: list[LabelledImage] = train_kind(spec).read_folder(images, labels, spec)
    return found


def _label_maps(images: Path, labels: Path, spec: TaskSpec) -> list[Any]:
    from .dataset import read_case_folder

    return list(read_case_folder(images, labels, spec))


def _drawing(
    spec: TaskSpec, options: TrainerOptions, predict: Predict, device: torch.device, cancelled: Cancelled
) -> Lesson[Any, Any]:
    from .segmentation import SegmentationLesson

    return SegmentationLesson(spec=spec, options=options, predict=predict, device=device, cancelled=cancelled)


def _findings(images: Path, labels: Path, spec: TaskSpec) -> list[Any]:
    from .findings_table import read_findings

    return list(read_findings(images, labels, spec))


def _telling(
    spec: TaskSpec, options: TrainerOptions, predict: Predict, device: torch.device, cancelled: Cancelled
) -> Lesson[Any, Any]:
    from .classification import ClassificationLesson

    return ClassificationLesson(spec=spec, options=options, device=device, cancelled=cancelled)


_DRAWING = TrainKind(read_folder=_label_maps, lesson=_drawing)
_KINDS: Mapping[Kind, TrainKind] = {
    "segmentation": _DRAWING,
    "deepedit": _DRAWING,
    "classification": TrainKind(read_folder=_findings, lesson=_telling),
}
