"""`carina train` and `carina evaluate`: from folders of images and labels, without a server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import CancelledError
from ..models.registry_mlflow import mirror
from ..models.store import ModelStore
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .options import (
    DeviceOption,
    ImagesOption,
    JsonOption,
    LabelsOption,
    MaxEpochsOption,
    ProcessesOption,
    StepsOption,
    TaskArgument,
    TrainerOption,
    trainer_options,
)
from .output import Output, command

if TYPE_CHECKING:
    from ..task import TaskSpec
    from ..trainers.lesson import Measured
    from ..trainers.training import TrainResult

_USUAL_WEIGHT = 1.0
_VOLUME_ERROR = "volume_error_ml"


def train(
    task: TaskArgument,
    images: ImagesOption,
    labels: LabelsOption,
    max_epochs: MaxEpochsOption = None,
    steps_per_epoch: StepsOption = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Patches per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Peak of the schedule.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of sampling and initialisation.")] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option("--unlabelled", metavar="DIR", help="Images without labels to learn from as well (mean teacher)."),
    ] = None,
    processes: ProcessesOption = None,
    start_from: Annotated[
        str,
        typer.Option(
            "--start-from",
            metavar="VERSION",
            help="served, nothing (random weights), such as v3, or auto: try served and nothing, keep the better.",
        ),
    ] = "served",
    options: TrainerOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a task on labelled images; the new version is served only if it is not worse on the holdout patients.

    A patient never moves between training, validation and holdout: the split is kept with the models. Ctrl-C leaves a
    checkpoint, and the same command goes on from it; so it does after a crash, from at most a minute before.

    Examples: [bold]carina train thorax_ct --images phantoms/images --labels phantoms/labels[/],
    [bold]carina train wholebody_ct --images ct --labels seg --max-epochs 20 --set patience_epochs=5[/],
    [bold]carina train wholebody_ct --images ct --labels seg --processes 4 --batch-size 8[/],
    [bold]carina train thorax_ct --images ct --labels seg --unlabelled more-ct --set unlabelled_weight=0.5[/],
    [bold]carina train cxr_covid19 --images cxr/images --labels cxr/cases.csv[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        from ..infers.sliding_window import predict
        from ..jobs.roi import on_roi
        from ..jobs.train import summary, work_dir
        from ..jobs.work import finite
        from ..models.tracking import MlflowTracking
        from ..networks.devices import resolve_device
        from ..trainers.gathering import help_another
        from ..trainers.kinds import read_cases
        from ..trainers.options import override
        from ..trainers.pool import read_pool
        from ..trainers.splits import FileSplitStore
        from ..trainers.training import train as train_task

        if help_another(resolve_device(device)):
            return
        named = {
            "max_epochs": max_epochs,
            "steps_per_epoch": steps_per_epoch,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "processes": processes,
            "unlabelled_weight": None if unlabelled is None else _USUAL_WEIGHT,
        }
        settings = Settings()
        models = ModelStore(settings.models_dir)
        with stoppable() as stopped, output.progress(f"Train {spec.name}") as report:
            result = train_task(
                on_roi(read_cases(images, labels, spec), spec, models, device=device),
                spec=spec,
                models=models,
                splits=FileSplitStore(settings.models_dir),
                predict=predict,
                work_dir=work_dir(settings, spec.name),
                options=override(spec.trainer, trainer_options(named, options)),
                device=device,
                progress=report,
                cancelled=stopped,
                tracking=MlflowTracking(settings.tracking_dir),
                checkpoint_every_s=settings.checkpoint_every_s,
                start_from=start_from,
                pool=read_pool(unlabelled) if unlabelled else (),
            )
        mirror(models, settings.tracking_dir, spec.name)
        _show_training(output, result, spec)
        output.result(finite({"task": spec.name, **summary(result), "overlay": str(result.overlay)}))


@contextmanager
def stoppable(
    then: str = "Run the same command again to go on from here.",
) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; the second one ends the command at once.

    Args:
        then: What a person is told when the work has ended because of it.

    Raises:
        typer.Exit: With status 130, when the work ended because of it, with a line that says how to go on.
    """
    pressed = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        pressed.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    except CancelledError as error:
        Console(stderr=True).print(f"Stopped. {then}")
        raise typer.Exit(130) from error
    finally:
        signal.signal(signal.SIGINT, before)


def evaluate(
    task: TaskArgument,
    images: ImagesOption,
    labels: LabelsOption,
    model_version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Such as v2; default: the served one.")
    ] = None,
    per_case: Annotated[bool, typer.Option("--per-case", help="Add one row per image.")] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a model on labelled images.

    Label maps: Dice, 95th percentile of the surface distance, and volume error per label. Findings: AUROC and AUPRC,
    with 95 % intervals over patients, and the Brier score.

    Examples: [bold]carina evaluate thorax_ct --images test/images --labels test/labels --per-case[/],
    [bold]carina evaluate cxr_covid19 --images test/images --labels test/findings.csv[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        from ..infers.sliding_window import predict
        from ..jobs.roi import on_roi
        from ..jobs.work import finite
        from ..networks.devices import resolve_device
        from ..trainers.kinds import lesson_of, read_cases
        from .drafting import load_drafter

        models = ModelStore(Settings().models_dir)
        cases = on_roi(read_cases(images, labels, spec), spec, models, device=device)
        drafter = load_drafter(spec, version=model_version, device=device)
        lesson = lesson_of(
            spec, options=spec.trainer, predict=predict, device=resolve_device(device), cancelled=lambda: False
        )
        network, calibration = drafter.network.to(lesson.device), drafter.version.calibration
        with output.progress(f"Evaluate {spec.name} {drafter.version.version}") as report:
            evaluation, _ = lesson.evaluate(network, cases, report, calibration=calibration)
        title = f"{spec.name} {drafter.version.version} on {len(cases)} case(s)"
        _show_evaluation(output, evaluation, spec, title=title)
        if per_case:
            _show_cases(output, evaluation, spec)
        output.result(finite(evaluation.to_json(model_version=drafter.version.version, per_case=per_case)))


def _show_training(output: Output, result: TrainResult, spec: TaskSpec) -> None:
    version = result.version
    colour, verb = ("green", "is served now") if result.promoted else ("yellow", "was kept but is not served")
    output.say(f"[{colour}]{version.task} {version.version} {verb}[/]: {escape(result.decision.reason)}")
    if result.start is not None:
        output.say(f"Started from {result.start.chosen}: {escape(result.start.reason)}.")
    _show_evaluation(output, result.evaluation, spec, title=f"On the {result.measured_on} cases")
    output.say(f"{len(result.history)} epoch(s) in {result.seconds:.0f} s; picture: {escape(str(result.overlay))}")


def _show_evaluation(output: Output, evaluation: Measured, spec: TaskSpec, *, title: str) -> None:
    means, spreads = evaluation.means(), evaluation.intervals()
    metrics = _columns(means.values(), spec)
    rows = []
    for name, row in means.items():
        spread = spreads.get(name, {})
        measured = max((one["n"] or 0 for one in spread.values()), default=0)
        rows.append([name, *(_text(metric, row[metric], spread.get(metric, {})) for metric in metrics), str(measured)])
    output.table(title, ["Label", *_titles(metrics, spec), "Cases"], rows)


def _show_cases(output: Output, evaluation: Measured, spec: TaskSpec) -> None:
    cases = evaluation.to_json(model_version=None, per_case=True)["per_case"]
    columns = _columns((row for case in cases for row in case["labels"].values()), spec)
    rows = [
        [case["image"], name, *(_text(column, row.get(column), {}) for column in columns)]
        for case in cases
        for name, row in case["labels"].items()
    ]
    output.table("Per case", ["Image", "Label", *_titles(columns, spec)], rows)


def _columns(rows: Iterable[Mapping[str, Any]], spec: TaskSpec) -> list[str]:
    """What is worth a column: in a projection nothing has a volume."""
    found = dict.fromkeys(metric for row in rows for metric in row)
    return [metric for metric in found if not (spec.of_projections and metric == _VOLUME_ERROR)]


class _Shown(NamedTuple):
    title: str
    digits: int = 3
    interval: bool = False
    in_projections: str = ""
    """Title where pixels may have no size, as those of a picture, and then count as 1 mm."""


_SHOWN: Mapping[str, _Shown] = {
    "dice": _Shown("Dice"),
    "hd95_mm": _Shown("HD95 (mm)", 1, in_projections="HD95 (mm, or pixels)"),
    _VOLUME_ERROR: _Shown("Volume error (ml)", 1),
    "auroc": _Shown("AUROC", interval=True),
    "auprc": _Shown("AUPRC", interval=True),
    "brier": _Shown("Brier score"),
    "probability": _Shown("Probability"),
    "finding": _Shown("Finding", 0),
}


def _titles(metrics: Iterable[str], spec: TaskSpec) -> list[str]:
    shown = [_shown(metric) for metric in metrics]
    return [(one.in_projections if spec.of_projections else "") or one.title for one in shown]


def _shown(metric: str) -> _Shown:
    return _SHOWN.get(metric, _Shown(metric))


def _text(metric: str, value: Any, spread: Mapping[str, float | int | None]) -> str:
    shown = _shown(metric)
    if value is None or value != value:
        return "undefined"
    text = f"{value:.{shown.digits}f}"
    low, high = spread.get("low"), spread.get("high")
    return f"{text} ({low:.3f}–{high:.3f})" if shown.interval and low is not None and high is not None else text
