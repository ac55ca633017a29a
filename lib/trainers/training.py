"""Trains a task of any kind from labelled cases and lets the promotion gate decide what is served.

Split by patient → prepare into the cache → fit, starting from the served version where it fits → measure candidate and
served version on the same frozen holdout → store the candidate → promote it if the gate says so. What
is learnt, and how it is measured, is the kind's `Lesson`. Whatever goes wrong before the last step leaves the served
version as it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch
from filelock import FileLock, Timeout

from ..errors import BusyError, CancelledError, ConflictError
from ..models.gate import Decision
from ..models.record import record_outcome
from ..models.store import ModelStore
from ..models.tracking import NoTracking, Tracking, TrainingRun
from ..models.version import ModelVersion
from ..networks.devices import resolve_device
from ..task import TaskSpec, TrainerOptions
from .cases import Case, LabelledImage
from .gathering import own_gpu
from .judging import Judgement, Judging
from .kinds import lesson_of
from .learning import Learning, Learnt, first_network
from .lesson import C, Cancelled, I, Lesson, Measured, Progress, stop_if
from .measuring import Predict
from .options import check_options
from .sources import split
from .splits import Part, SplitStore
from .standing import Epoch, Step
from .starting import Start, decision_file
from .warm_start import SERVED, parent_of, tried, warn_of_measured

_PREPARED_AT = 0.1
_FITTED_AT = 0.9


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The outcome of a training.

    Attributes:
        version: Stored in any case.
        promoted: Whether it is served now.
        decision: The gate's table and reason.
        start: What it started from and why, where that was to be tried (`starting.Start`); None where it was told.
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
    start: Start | None
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
    pool: Sequence[Case] = (),
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
        start_from: `served`, `nothing` (random weights), a version such as `v3`, or `auto`: what is served and nothing
            are both tried for `options.trial_share` of the epochs, and the better one is gone on with.
        pool: Images without labels, learned from if `options.unlabelled_weight` is more than nothing.

    Raises:
        InvalidInputError: If no case may be trained on, the version to start from does not fit the task, or the loss
            stops being finite.
        BusyError: If another training works in the same folder.
        CancelledError: If `cancelled` answers true; nothing is stored.
        OutOfMemoryError: If half a batch does not fit the device.
        PeerError: If one of several processes ends before the training does.
    """
    options = options or spec.trainer
    check_options(spec, options)
    target = own_gpu(resolve_device(device))
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
        pool=pool,
    )
    try:
        with only_training(work_dir, task=spec.name):
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
        decision_file(training.checkpoint).unlink(missing_ok=True)
    return result


@contextlib.contextmanager
def only_training(work_dir: Path, *, task: str) -> Iterator[None]:
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
    pool: Sequence[Case]

    def run(self) -> TrainResult:
        started = time.monotonic()
        self.sources = split(self.cases, spec=self.spec, splits=self.splits, options=self.options, pool=self.pool)
        learnt = self._learn()
        fitted, parent = learnt.fitted, learnt.parent
        measured_on = self.sources.measured_on
        measured = self.sources.of(measured_on)
        candidate = first_network(self.spec, seed=self.options.seed, device=self.device)
        candidate.load_state_dict(fitted.best_state)
        calibration = self.lesson.calibration(candidate, self.items.validation)
        evaluation, drawn = self.lesson.evaluate(
            candidate, measured, self._share(_FITTED_AT, 0.05), calibration=calibration
        )
        judgement = Judging(
            measuring=self.lesson,
            models=self.models,
            margin=self.options.gate_margin,
            labels=self.sources.trained_labels(self.spec, parent),
            measured_on=measured_on,
        ).judge(
            candidate,
            evaluation,
            training=self.items.training,
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
            data=self._manifest(measured_on, learnt),
            decision=judgement.decision.to_json(),
            calibration=calibration,
            plausibility=self.lesson.plausibility(self.items.training),
            parent=parent.version if parent else None,
        )
        decision = self._promote(version, judgement)
        self.progress(1.0, f"{version.version} {'promoted' if decision.promoted else 'kept back'}: {decision.reason}")
        return TrainResult(
            version=version,
            promoted=decision.promoted,
            decision=decision,
            start=learnt.start,
            best_epoch=fitted.best_epoch,
            history=fitted.history,
            evaluation=evaluation,
            measured_on=measured_on,
            overlay=overlay,
            seconds=time.monotonic() - started,
        )

    def _learn(self) -> Learnt:
        named, both = tried(self.start_from)
        parent = parent_of(self.models, self.spec, named)
        warn_of_measured([*self.sources.validation, *self.sources.holdout], parent)
        self.items = self.sources.prepare(
            self.lesson.cache(self.work_dir / "volumes"), self._share(0.0, _PREPARED_AT), self.cancelled
        )
        return Learning(
            spec=self.spec,
            options=self.options,
            lesson=self.lesson,
            sources=self.sources,
            items=self.items,
            device=self.device,
            checkpoint=self.checkpoint,
            checkpoint_every_s=self.checkpoint_every_s,
            on_step=self.on_step,
            on_epoch=self._track_epoch,
            progress=self._share(_PREPARED_AT, _FITTED_AT - _PREPARED_AT),
            cancelled=self.cancelled,
        ).run(parent, both=both)

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

    def _manifest(self, measured_on: Part, learnt: Learnt) -> dict[str, Any]:
        """What the version was made from; image ids and revisions, never patients."""
        return {
            **self.sources.listed(),
            "measured_on": measured_on,
            "trained_labels": list(self.sources.trained_labels(self.spec, learnt.parent)),
            "options": asdict(self.options),
            "epochs": len(learnt.fitted.history),
            "best_epoch": learnt.fitted.best_epoch,
        } | ({} if learnt.start is None else {"start": learnt.start.to_json()})

    def _track_epoch(self, epoch: Epoch) -> None:
        values, metric = {"loss": epoch.loss, "seconds": epoch.seconds}, self.lesson.wording.metric.lower()
        if epoch.dice is not None:
            values[f"validation_{metric}"] = epoch.dice
        values |= {f"{metric}/{name}": dice for name, dice in epoch.per_label.items() if dice is not None}
        self.tracked.log_epoch(epoch.number, values)

    def _share(self, start: float, width: float) -> Progress:
        """The progress of a part of the training, told as that of the whole."""
        return lambda fraction, text: self.progress(start + width * fraction, text)
