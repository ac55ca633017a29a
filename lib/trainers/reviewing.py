"""Which of many labels look wrong: each is compared with other labels, and with what networks draw without it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..errors import InvalidInputError
from ..models.label_quality import Comparison, agreements
from ..models.plausibility import Plausibility
from ..networks.devices import resolve_device
from ..networks.factory import build_network
from ..sizes import size_unit
from ..task import TaskSpec
from .cache import CachedVolume, VolumeCache
from .cases import Case
from .evaluation import Cancelled, Progress
from .lesson import stop_if
from .measuring import Predict
from .patches import annotated_names
from .rehearsal import rehearse
from .segmentation import SegmentationLesson
from .splits import shuffled

_PREPARED_AT = 0.1
_DRAWN_SHARE = 0.1
_FEWEST_PATIENTS = 4
"""With fewer there is no telling what is usual."""


def compare_out_of_sample(
    cases: Sequence[Case],
    *,
    spec: TaskSpec,
    predict: Predict,
    folds: int = 3,
    steps: int | None = None,
    device: str = "auto",
    work_dir: Path | None = None,
    progress: Progress = lambda fraction, text: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Comparison]:
    """Compare every label with the drawing of a network that did not learn from it, and with the labels that one did.

    Patients are dealt into folds. For each fold a network with random weights is trained on the others for a short
    while, so that it knows what most labels say and has not learned the odd one by heart, and draws the fold's images.

    Args:
        cases: Labelled images.
        spec: The task; its trainer options count, but for epochs and steps.
        predict: `infers.sliding_window.predict`.
        folds: How many.
        steps: Optimiser steps of each network; None: a quarter of what a training of the task may take.
        device: As `networks.devices.resolve_device` takes it.
        work_dir: Where prepared volumes go for the while; None: the system's temporary folder.
        progress: Told a fraction and a phrase.
        cancelled: Asked between units of work.

    Returns:
        Image id → comparison, as `label_quality.rank_labels` takes it.

    Raises:
        InvalidInputError: If there are fewer than two folds, or labels of too few patients to know what is usual.
        CancelledError: If `cancelled` answers true.
    """
    patients = sorted({case.patient_id for case in cases}, key=lambda patient: shuffled(patient, spec.trainer.seed))
    _check(len(patients), folds)
    fold_of = {patient: number % folds for number, patient in enumerate(patients)}
    lesson = SegmentationLesson(
        spec=spec, options=spec.trainer, predict=predict, device=resolve_device(device), cancelled=cancelled
    )
    steps = steps or max(1, spec.trainer.max_epochs * spec.trainer.steps_per_epoch // 4)
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="review-") as folder:
        volumes = _prepare(cases, VolumeCache(Path(folder), spec), lesson, progress)
        found: dict[str, Comparison] = {}
        for number in range(folds):
            begin = _PREPARED_AT + (1 - _PREPARED_AT) * number / folds
            told = _Share(progress, begin, (1 - _PREPARED_AT) / folds, f"fold {number + 1} of {folds}")
            apart = [fold_of[case.patient_id] == number for case in cases]
            known = [volume for volume, out in zip(volumes, apart, strict=True) if not out]
            unseen = [volume for volume, out in zip(volumes, apart, strict=True) if out]
            network = _trained(known, lesson, steps, number, told)
            found |= _compared(network, lesson.plausibility(known), unseen, lesson, told)
        return found


@dataclasses.dataclass(frozen=True)
class _Share:
    """Tells the progress of a part as that of the whole."""

    whole: Progress
    begin: float
    width: float
    name: str

    def __call__(self, fraction: float, text: str) -> None:
        self.whole(self.begin + self.width * fraction, f"{self.name}: {text}")


def _check(patients: int, folds: int) -> None:
    if folds < 2:
        raise InvalidInputError(f"A review must have at least 2 folds, got {folds}. Use 3.")
    if patients < max(folds, _FEWEST_PATIENTS):
        raise InvalidInputError(
            f"A review with {folds} folds must have labels of at least {max(folds, _FEWEST_PATIENTS)} patients, got "
            f"{patients}. With so few there is no telling what is usual: look at them one by one."
        )


def _prepare(
    cases: Sequence[Case], cache: VolumeCache, lesson: SegmentationLesson, progress: Progress
) -> list[CachedVolume]:
    volumes = []
    for position, case in enumerate(cases):
        stop_if(lesson.cancelled)
        volumes.append(cache.get(case))
        progress(_PREPARED_AT * (position + 1) / len(cases), f"prepared {position + 1} of {len(cases)} images")
    return volumes


def _trained(
    volumes: Sequence[CachedVolume], lesson: SegmentationLesson, steps: int, number: int, progress: Progress
) -> nn.Module:
    """A network that learned from these volumes alone."""
    with torch.random.fork_rng():
        torch.manual_seed(lesson.options.seed * 1000 + number)
        network = build_network(lesson.spec).to(lesson.device)
    rehearse(
        network,
        volumes,
        lesson=lesson,
        steps=steps,
        progress=lambda fraction, text: progress((1 - _DRAWN_SHARE) * fraction, "learning"),
    )
    return network


def _compared(
    network: nn.Module,
    usual: Plausibility | None,
    volumes: Sequence[CachedVolume],
    lesson: SegmentationLesson,
    progress: Progress,
) -> dict[str, Comparison]:
    """Image id → its label beside what the network draws, and what is usual."""
    found, labels = {}, lesson.spec.labels
    for position, volume in enumerate(volumes):
        drawn, label = lesson.draw(network, volume.prepared()), volume.truth()
        # Its working grid says nothing of the size of a radiograph's pixels.
        unit = size_unit(label.grid, projection=lesson.spec.of_projections, pixel_size_known=False)
        judged = usual is not None and annotated_names(volume, lesson.spec).issuperset(usual.names)
        found[volume.image_id] = Comparison(
            agreements=agreements(label, drawn, labels=labels, annotated=volume.annotated, unit=unit),
            oddities=usual.oddities(label, labels) if usual is not None and judged else (),
        )
        share = (position + 1) / len(volumes)
        progress(1 - _DRAWN_SHARE * (1 - share), f"compared {position + 1} of {len(volumes)} labels")
    return found
