"""The kind `train`: a training from the labels submitted so far, which outlives its process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConflictError, InvalidInputError
from ..models.registry_mlflow import mirror
from ..models.store import ModelStore
from ..models.tracking import MlflowTracking
from ..settings import Settings
from ..task import TaskSpec
from ..trainers.cases import LabelledImage
from ..trainers.warm_start import NOTHING, SERVED, either, served_parent, tried
from .cases import labelled_cases, unlabelled_cases
from .events import EventTracking
from .images import unlabelled_images
from .kind import JobKind, Work
from .options import parse_options, parse_readers, parse_start
from .roi import on_roi

if TYPE_CHECKING:
    from ..trainers.training import TrainResult


def check(spec: TaskSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that no training of the task could take.

    Raises:
        InvalidInputError: If an option is unknown or a value does not fit.
    """
    parse_options(spec, options)
    parse_start(options)
    parse_readers(spec, options)


def run(work: Work) -> dict[str, Any]:
    """Train, or go on where an earlier attempt of the job stopped.

    The first attempt fixes which labels the job learns from and which version it starts from, so that labels and
    promotions that come meanwhile do not turn it into another training.

    Raises:
        CancelledError: If the job was asked to end; its checkpoint stays.
        ConflictError: If a label or image of the first attempt is not there any more.
        InvalidInputError: If nothing is labelled.
        CarinaError: As `trainers.training.train` does.
    """
    spec, models = work.spec, ModelStore(work.settings.models_dir)
    work.reporter.progress(0.0, "looking for labelled images")
    plan = work.folder.plan()
    every_reader = parse_readers(spec, work.options)
    only = None if plan is None else plan["annotations"]
    cases = labelled_cases(work.annotations, work.images, spec, only=only, every_reader=every_reader)
    if only is not None and len(_revisions(cases)) < len(only):
        raise ConflictError(
            f"A resumed training must find the {len(only)} labels and images it began with, got "
            f"{len(_revisions(cases))}. Bring them back, or start a new training."
        )
    options = parse_options(spec, work.options)
    if not cases:
        raise InvalidInputError(
            f"Training '{spec.name}' must have labelled images, got none. Submit final labels first."
        )
    from ..infers.sliding_window import predict  # torch takes seconds; what is wrong above is said at once
    from ..trainers.training import train

    if plan is None:
        pool = unlabelled_images(work) if options.unlabelled_weight else []
        plan = {"start_from": start_from(work, models), "annotations": _revisions(cases), "unlabelled": pool}
        work.folder.write_plan(plan)
    result = train(
        on_roi(cases, spec, models, device=work.device),
        spec=spec,
        models=models,
        splits=work.annotations.splits,
        predict=predict,
        work_dir=work_dir(work.settings, spec.name),
        options=options,
        device=work.device,
        progress=work.reporter.progress,
        cancelled=work.cancelled,
        tracking=EventTracking(MlflowTracking(work.settings.tracking_dir, job=work.folder.path.name), work.reporter),
        on_step=work.reporter.step,
        checkpoint=work.folder.checkpoint,
        checkpoint_every_s=work.settings.checkpoint_every_s,
        start_from=plan["start_from"],
        pool=unlabelled_cases(work.annotations, work.images, plan.get("unlabelled", ())),
    )
    mirror(models, work.settings.tracking_dir, spec.name)
    shutil.copyfile(result.overlay, work.folder.overlay)
    return summary(result)


KIND = JobKind(
    name="train",
    description="Train a task from the labels submitted so far; the gate decides what is served",
    check=check,
    run=run,
)


def work_dir(settings: Settings, task: str) -> Path:
    """Where a task's trainings keep prepared volumes, so that the next one finds them."""
    return settings.jobs_dir / "work" / task


def summary(result: TrainResult) -> dict[str, Any]:
    """What a finished training gave, as JSON."""
    return {
        "version": result.version.version,
        "promoted": result.promoted,
        "reason": result.decision.reason,
        "decision": result.decision.to_json(),
        "start": None if result.start is None else result.start.to_json(),
        "metrics": result.evaluation.to_json(model_version=result.version.version),
        "measured_on": result.measured_on,
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "seconds": round(result.seconds, 1),
    }


def start_from(work: Work, models: ModelStore) -> str:
    """The version that is served now by its name, so that a later promotion changes nothing."""
    wanted = parse_start(work.options)
    named, both = tried(wanted)
    if named != SERVED:
        return wanted
    served = served_parent(models, work.spec)
    version = served.version if served else NOTHING
    return either(version) if both else version


def _revisions(cases: Sequence[LabelledImage]) -> list[str]:
    return [reading.revision for case in cases for reading in case.every_reading()]
