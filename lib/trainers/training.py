"""Trains a task of any kind from labelled cases and lets the promotion gate decide what is served.

Split by patient → prepare into the cache → fit, starting from the served version where it fits → measure candidate and
served version on the same frozen holdout → store the candidate → promote it if the gate says so. What
is learnt, and how it is measured, is the kind's `Lesson`. Whatever goes wrong before the last step leaves the served
version as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch
from filelock import FileLock, Timeout
from torch import nn

from ..errors import BusyError, CancelledError, ConflictError, InvalidInputError
from ..models.gate import Decision
from ..models.record import record_outcome
from ..models.store import ModelStore
from ..models.tracking import NoTracking, Tracking, TrainingRun
from ..models.version import ModelVersion
from ..networks.devices import resolve_device
from ..networks.factory import build_network
from ..task import TaskSpec, TrainerOptions
from .cases import LabelledImage
from .fitting import Fitted, Fitting
from .judging import Judgement, Judging
from .kinds import lesson_of
from .lesson import C, Cancelled, I, Lesson, Measured, Progress, stop_if
from .measuring import Predict
from .splits import Fractions, Part, SplitStore, parts_of
from .standing import Epoch, Step
from .warm_start import NOTHING, SERVED, new_cases, trained_labels, warmed

_PREPARED_AT = 0.1
_FITTED_AT = 0.9
_MEASURED_FIRST: tuple[Part, ...] = ("holdout", "validation", "train")


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The outcome of a training.

    Attributes:
        version: Stored in any case.
        promoted: Whether it is served now.
        decision: The gate's table and reason.
        best_epoch: Number of the epoch whose weights were kept.
        history: Every epoch.
        evaluation: Of the candidate; on the holdout, else on validation or training cases, see `measured_on`.
        measured_on: Which cases those were.
        overlay: Picture of them: served, candidate, reference.
        seconds: In all.
    """

    version: ModelVersion
    promoted: bool
    decision: Decision
    best_epoch: int
    history: tuple[Epoch, ...]
    evaluation: Measured
    measured_on: Part
    overlay: Path
    seconds: float


def train(
    cases: Sequence[LabelledImage],
    *,
    spec: TaskSpec,
    models: ModelStore,
    splits: SplitStore,
    predict: Predict,
    work_dir: Path,
    options: TrainerOptions | None = None,
    device: str = "auto",
    progress: Progress = lambda fraction, text: None,
    cancelled: Cancelled = lambda: False,
    tracking: Tracking | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 60.0,
    start_from: str = SERVED,
) -> TrainResult:
    """Train a candidate and promote it if it is not worse.

    Args:
        cases: All labelled images, of every part of the split: as `kinds.train_kind` says for the task's kind.
        spec: The task.
        models: Where versions go.
        splits: Which patient is in which part; new patients are added.
        predict: `infers.sliding_window.predict`, for kinds that draw.
        work_dir: For prepared volumes, picture and, unless `checkpoint` says otherwise, the checkpoint: a training
            started again in the same folder with the same cases, options and parent goes on where it stood.
        options: Instead of `spec.trainer`.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        progress: Told a fraction and a phrase.
        cancelled: Asked between steps.
        tracking: Where curves go; nowhere by default.
        on_step: Told after each optimiser step, before `progress`.
        checkpoint: Where the training stands is kept in this file, which the caller deletes. None: in `work_dir`,
            until the training has ended well.
        checkpoint_every_s: How often it is written within an epoch.
        start_from: `served`, `nothing` (random weights), or a version such as `v3`.

    Raises:
        InvalidInputError: If no case may be trained on, or the loss stops being finite.
        BusyError: If another training works in the same folder.
        CancelledError: If `cancelled` answers true; nothing is stored.
        OutOfMemoryError: If half a batch does not fit the device.
    """
    options = options or spec.trainer
    target = resolve_device(device)
    run = (tracking or NoTracking()).start(
        spec.name, name=time.strftime("%Y-%m-%d %H:%M:%S"), parameters={**asdict(options), "cases": len(cases)}
    )
    training = _Training(
        cases=cases,
        spec=spec,
        models=models,
        splits=splits,
        lesson=lesson_of(spec, options=options, predict=predict, device=target, cancelled=cancelled),
        work_dir=work_dir,
        options=options,
        device=target,
        progress=progress,
        cancelled=cancelled,
        tracked=run,
        on_step=on_step,
        checkpoint=checkpoint or work_dir / "checkpoint.safetensors",
        checkpoint_every_s=checkpoint_every_s,
        start_from=start_from,
    )
    try:
        with _alone(work_dir, task=spec.name):
            result = training.run()
    except CancelledError:
        run.finish(status="KILLED", tags={})
        raise
    except Exception as error:
        run.finish(status="FAILED", tags={"error": type(error).__name__})
        raise
    record_outcome(run, result.version, result.decision, result.overlay)
    if checkpoint is None:
        training.checkpoint.unlink(missing_ok=True)
    return result


@contextlib.contextmanager
def _alone(work_dir: Path, *, task: str) -> Iterator[None]:
    """Hold the folder's lock: two trainings would overwrite each other's checkpoint."""
    work_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work_dir / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise BusyError(f"One training of '{task}' may run at a time, and one is running. Wait for it.") from error


@dataclass(kw_only=True)
class _Training(Generic[C, I]):
    """One call of `train`, step by step."""

    cases: Sequence[C]
    spec: TaskSpec
    models: ModelStore
    splits: SplitStore
    lesson: Lesson[C, I]
    work_dir: Path
    options: TrainerOptions
    device: torch.device
    progress: Progress
    cancelled: Cancelled
    tracked: TrainingRun
    on_step: Callable[[Step], None]
    checkpoint: Path
    checkpoint_every_s: float
    start_from: str

    def run(self) -> TrainResult:
        started = time.monotonic()
        self.parts = self._split()
        served = self.models.served(self.spec.name)
        parent = self._parent(served)
        fitted = self._fit(parent)
        measured_on: Part = next(part for part in _MEASURED_FIRST if self.parts[part])
        measured = self.parts[measured_on]
        candidate = self._network()
        candidate.load_state_dict(fitted.best_state)
        calibration = self.lesson.calibration(candidate, self.validation)
        evaluation, drawn = self.lesson.evaluate(
            candidate, measured, self._share(_FITTED_AT, 0.05), calibration=calibration
        )
        judgement = Judging(
            measuring=self.lesson,
            models=self.models,
            margin=self.options.gate_margin,
            labels=self._trained_labels(parent),
            measured_on=measured_on,
        ).judge(
            candidate,
            evaluation,
            training=self.training,
            cases=measured,
            progress=self._share(0.95, 0.04),
        )
        overlay = self.work_dir / "overlay.png"
        self.lesson.picture(overlay, measured[0], judgement.drawn, drawn)
        stop_if(self.cancelled)
        version = self.models.add(
            self.spec.name,
            fitted.best_state,
            fingerprint=self.spec.fingerprint(),
            labels=self.spec.labels.indices,
            metrics=evaluation.means(),
            intervals=evaluation.intervals(),
            task_spec=self.spec.to_json(),
            data=self._manifest(measured_on, fitted, parent),
            decision=judgement.decision.to_json(),
            calibration=calibration,
            plausibility=self.lesson.plausibility(self.training),
            parent=parent.version if parent else None,
        )
        decision = self._promote(version, judgement)
        self.progress(1.0, f"{version.version} {'promoted' if decision.promoted else 'kept back'}: {decision.reason}")
        return TrainResult(
            version=version,
            promoted=decision.promoted,
            decision=decision,
            best_epoch=fitted.best_epoch,
            history=fitted.history,
            evaluation=evaluation,
            measured_on=measured_on,
            overlay=overlay,
            seconds=time.monotonic() - started,
        )

    def _parent(self, served: ModelVersion | None) -> ModelVersion | None:
        """The version to start from; None for random weights."""
        if self.start_from == NOTHING:
            return None
        if self.start_from == SERVED:
            return self._fitting_the_task(served)
        return self._fitting_the_task(self.models.get(self.spec.name, self.start_from))

    def _fitting_the_task(self, version: ModelVersion | None) -> ModelVersion | None:
        """The version, unless it was made for another version of the task."""
        return version if version is not None and version.fingerprint == self.spec.fingerprint() else None

    def _split(self) -> dict[Part, list[C]]:
        fractions = Fractions(validation=self.options.validation_fraction, holdout=self.options.holdout_fraction)
        known = parts_of(
            (case.patient_id for case in self.cases),
            task=self.spec.name,
            store=self.splits,
            fractions=fractions,
            seed=self.options.seed,
        )
        parts: dict[Part, list[C]] = {"train": [], "validation": [], "holdout": []}
        for case in sorted(self.cases, key=lambda case: case.image_id):
            parts[known[case.patient_id]].append(case)
        if not parts["train"]:
            raise InvalidInputError(
                f"At least one labelled image must belong to a training patient, got {len(self.cases)} image(s), all "
                f"of validation or holdout patients. Label an image of another patient."
            )
        return parts

    def _prepare(self) -> None:
        """Fill training and validation with what is prepared; a single part serves as both when epochs are compared."""
        cache = self.lesson.cache(self.work_dir / "volumes")
        wanted = self.parts["train"] + self.parts["validation"]
        items: list[I] = []
        for position, case in enumerate(wanted):
            stop_if(self.cancelled)
            items.append(cache.get(case))
            self.progress(
                _PREPARED_AT * (position + 1) / len(wanted), f"prepared {position + 1} of {len(wanted)} images"
            )
        cache.prune(wanted)
        self.training = items[: len(self.parts["train"])]
        self.validation = items[len(self.training) :]

    def _fit(self, parent: ModelVersion | None) -> Fitted:
        self._prepare()
        network = self._network()
        if parent is not None:
            self.models.load_into(network, parent, spec=self.spec)
        loss = self.lesson.begin(network, self.training, None if parent is None else trained_labels(parent))
        compared = self.validation or self.training
        new = new_cases(self.parts["train"], parent)
        return Fitting(
            network=network,
            spec=self.spec,
            options=warmed(self.options, new=len(new), of=len(self.training)) if parent else self.options,
            sampler=self.lesson.sampler(self.training, new),
            loss=loss,
            validate=lambda trained: self.lesson.validate(trained, compared),
            change=self.lesson.change,
            metric=self.lesson.wording.metric,
            device=self.device,
            checkpoint=self.checkpoint,
            checkpoint_every_s=self.checkpoint_every_s,
            identity=self._identity(parent),
            on_step=self.on_step,
            on_epoch=self._track_epoch,
            progress=self._share(_PREPARED_AT, _FITTED_AT - _PREPARED_AT),
            cancelled=self.cancelled,
        ).run()

    def _network(self) -> nn.Module:
        """The task's network on the training's device; its first weights depend on the seed alone."""
        with torch.random.fork_rng():
            torch.manual_seed(self.options.seed)
            return build_network(self.spec).to(self.device)

    def _promote(self, version: ModelVersion, judgement: Judgement) -> Decision:
        """Serve the version if the gate says so, and nobody has served another since; what happened in the end."""
        decision = judgement.decision
        if not decision.promoted:
            return decision
        try:
            self.models.promote(
                self.spec.name, version.version, reason=decision.reason, by="gate", over=judgement.served
            )
        except ConflictError as error:
            return replace(decision, promoted=False, reason=str(error))
        return decision

    def _manifest(self, measured_on: Part, fitted: Fitted, parent: ModelVersion | None) -> dict[str, Any]:
        """What the version was made from; image ids and revisions, never patients."""
        return {
            "cases": [
                {"image_id": case.image_id, "revision": case.revision, "part": part}
                for part, cases in self.parts.items()
                for case in cases
            ],
            "measured_on": measured_on,
            "trained_labels": list(self._trained_labels(parent)),
            "options": asdict(self.options),
            "epochs": len(fitted.history),
            "best_epoch": fitted.best_epoch,
        }

    def _trained_labels(self, parent: ModelVersion | None) -> tuple[str, ...]:
        """Labels that the candidate, or a version it started from, was trained on."""
        annotated: set[str] = set() if parent is None else set(trained_labels(parent))
        for case in self.parts["train"]:
            annotated |= set(self.spec.labels.names) if case.annotated is None else case.annotated
        return tuple(name for name in self.spec.labels.names if name in annotated)

    def _identity(self, parent: ModelVersion | None) -> str:
        decisive: Mapping[str, Any] = {
            "fingerprint": self.spec.fingerprint(),
            "options": asdict(self.options),
            "parent": parent.sha256 if parent else None,
            "cases": [[part, case.image_id, case.revision] for part, cases in self.parts.items() for case in cases],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def _track_epoch(self, epoch: Epoch) -> None:
        values, metric = {"loss": epoch.loss, "seconds": epoch.seconds}, self.lesson.wording.metric.lower()
        if epoch.dice is not None:
            values[f"validation_{metric}"] = epoch.dice
        values |= {f"{metric}/{name}": dice for name, dice in epoch.per_label.items() if dice is not None}
        self.tracked.log_epoch(epoch.number, values)

    def _share(self, start: float, width: float) -> Progress:
        """The progress of a part of the training, told as that of the whole."""
        return lambda fraction, text: self.progress(start + width * fraction, text)
