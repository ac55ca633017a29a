"""What an inference worker does: draft with the served version of a task and write the result as asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmwrite

from ..dicom.seg import Provenance, write_seg
from ..errors import InvalidInputError
from ..geometry import Volume
from ..images import write_label
from ..infers.kinds import build_drafter
from ..labels import Label, LabelSet
from ..models.store import ModelStore
from ..registry import Registry, find_tasks
from ..settings import Settings
from ..task import TaskSpec
from . import compat
from .logs import configure_logging
from .tickets import Cancelled, InferenceRequest, InferenceResult, Progress

if TYPE_CHECKING:
    from ..infers.draft import Draft, Drafter

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentationRunners:
    """Makes the runner inside a worker process; what crosses the process boundary is only this.

    Attributes:
        settings: Of the installation.
    """

    settings: Settings

    def __call__(self) -> SegmentationRunner:
        """Load torch and what networks are made of before the first request comes."""
        compat.install()
        configure_logging(self.settings)
        from ..infers import segmentation
        from ..networks.factory import build_network

        tasks = find_tasks()
        for spec in [spec for spec in tasks if spec.learns][:1]:
            build_network(spec)
        _LOG.info("inference worker is ready to run %s", segmentation.__name__)
        return SegmentationRunner(tasks, ModelStore(self.settings.models_dir))


class SegmentationRunner:
    """Answers requests of any task; keeps each task's network loaded. Used by one thread.

    Args:
        tasks: What can be asked for.
        models: Their versions; the served one is looked up at every request.
    """

    def __init__(self, tasks: Registry[TaskSpec], models: ModelStore) -> None:
        self._tasks = tasks
        self._models = models
        self._infers: dict[str, Drafter] = {}

    def __call__(self, request: InferenceRequest, progress: Progress, cancelled: Cancelled) -> InferenceResult:
        """Draft one image.

        Raises:
            CarinaError: As `Drafter.draft` does.
            InvalidInputError: If a DICOM SEG of an image is asked for that is not DICOM.
        """
        draft = self._infer(request.task).draft(
            {**request.options, "image": request.image, "label": request.label}, progress=progress, cancelled=cancelled
        )
        if request.output.suffix == ".dcm":
            self._write_seg(draft, request)
        else:
            write_label(request.output, _as_dtype(draft.flat, request.options.get("result_dtype")))
        return InferenceResult(path=request.output, params=draft.params)

    def _infer(self, task: str) -> Drafter:
        if task not in self._infers:
            self._infers[task] = build_drafter(self._tasks.get(task), self._models)
        return self._infers[task]

    def _write_seg(self, draft: Draft, request: InferenceRequest) -> None:
        if draft.series is None:
            raise InvalidInputError(
                "A DICOM SEG must belong to a DICOM series, got another image. Ask for output=image."
            )
        spec = self._tasks.get(request.task)
        if "model_version" not in draft.params:
            raise InvalidInputError(
                f"A DICOM SEG must hold labels with codes, got '{spec.name}', which draws any structure. "
                "Ask for output=image, and submit the corrected label."
            )
        seg = write_seg(
            draft.label,
            draft.series,
            labels=_asked_for(spec.labels, draft),
            provenance=Provenance(
                algorithm_type="AUTOMATIC",
                task=request.task,
                model_version=draft.params["model_version"],
                model_sha256=draft.params["model_sha256"],
            ),
        )
        dcmwrite(Path(request.output), seg, enforce_file_format=True)


def _asked_for(labels: LabelSet, draft: Draft) -> LabelSet | list[Label]:
    """What a SEG describes: what was asked for; all labels that overlap, as only drawn ones become segments."""
    return labels if labels.overlapping else [labels.named(name) for name in draft.params["label_names"]]


def _as_dtype(label: Volume, name: object) -> Volume:
    """The label map in the integer type a client asked for.

    Raises:
        InvalidInputError: If a label index does not fit into it.
    """
    if name is None or label.array.dtype == np.dtype(str(name)):
        return label
    wanted = np.dtype(str(name))
    if int(label.array.max(initial=0)) > np.iinfo(wanted).max:
        raise InvalidInputError(f"Label indices must fit into {wanted}, got {int(label.array.max())}. Ask for uint16.")
    return Volume(label.array.astype(wanted), label.grid)
