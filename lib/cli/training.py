"""`carina train` and `carina evaluate`: from folders of images and labels, without a server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import CancelledError
from ..models.registry_mlflow import mirror
from ..models.store import ModelStore
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .options import DeviceOption, ImagesOption, JsonOption, LabelsOption, TaskArgument, assignments
from .output import Output, command

if TYPE_CHECKING:
    from ..trainers.evaluation import Evaluation
    from ..trainers.segmentation import TrainResult


def train(
    task: TaskArgument,
    images: ImagesOption,
    labels: LabelsOption,
    max_epochs: Annotated[int | None, typer.Option("--max-epochs", help="Upper limit of epochs.")] = None,
    steps_per_epoch: Annotated[int | None, typer.Option("--steps-per-epoch", help="Between two validations.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Patches per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Peak of the schedule.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of sampling and initialisation.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other trainer option, such as patch_voxels=64,64,64."),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a task on labelled images; the new version is served only if it is not worse on the holdout patients.

    A patient never moves between training, validation and holdout: the split is kept with the models. Ctrl-C leaves a
    checkpoint, and the same command goes on from it; so it does after a crash, from at most a minute before.

    Examples: [bold]carina train thorax_ct --images phantoms/images --labels phantoms/labels[/],
    [bold]carina train wholebody_ct --images ct --labels seg --max-epochs 20 --set patience_epochs=5[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        from ..infers.sliding_window import predict
        from ..jobs.train import summary, work_dir
        from ..jobs.work import finite
        from ..models.tracking import MlflowTracking
        from ..trainers.dataset import read_case_folder
        from ..trainers.options import override
        from ..trainers.segmentation import train as train_segmentation
        from ..trainers.splits import FileSplitStore

        given: dict[str, object] = {
            "max_epochs": max_epochs,
            "steps_per_epoch": steps_per_epoch,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        chosen |= assignments(options or [], option="--set")
        settings = Settings()
        models = ModelStore(settings.models_dir)
        with stoppable() as stopped, output.progress(f"Train {spec.name}") as report:
            result = train_segmentation(
                read_case_folder(images, labels, spec),
                spec=spec,
                models=models,
                splits=FileSplitStore(settings.models_dir),
                predict=predict,
                work_dir=work_dir(settings, spec.name),
                options=override(spec.trainer, chosen),
                device=device,
                progress=report,
                cancelled=stopped,
                tracking=MlflowTracking(settings.tracking_dir),
                checkpoint_every_s=settings.checkpoint_every_s,
            )
        mirror(models, settings.tracking_dir, spec.name)
        _show_training(output, result)
        output.result(finite({"task": spec.name, **summary(result), "overlay": str(result.overlay)}))


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; the second one ends the command at once.

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
        Console(stderr=True).print("Stopped. Run the same command again to go on from here.")
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
    """Measure a model on labelled images: Dice, 95th percentile of the surface distance, and volume error per label.

    Example: [bold]carina evaluate thorax_ct --images test/images --labels test/labels --per-case[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        from ..jobs.work import finite
        from ..trainers.dataset import read_case_folder
        from ..trainers.evaluation import evaluate as evaluate_cases
        from .drafting import load_drafter

        cases = read_case_folder(images, labels, spec)
        drafter = load_drafter(spec, version=model_version, device=device)
        with output.progress(f"Evaluate {spec.name} {drafter.version.version}") as report:
            evaluation = evaluate_cases(cases, predict_label=drafter, spec=spec, progress=report)
        _show_evaluation(output, evaluation, f"{spec.name} {drafter.version.version} on {len(cases)} case(s)")
        if per_case:
            _show_cases(output, evaluation)
        output.result(finite(evaluation.to_json(model_version=drafter.version.version, per_case=per_case)))


def _show_training(output: Output, result: TrainResult) -> None:
    version = result.version
    colour, verb = ("green", "is served now") if result.promoted else ("yellow", "was kept but is not served")
    output.say(f"[{colour}]{version.task} {version.version} {verb}[/]: {result.decision.reason}")
    _show_evaluation(output, result.evaluation, f"On the {result.measured_on} cases")
    output.say(f"{len(result.history)} epochs in {result.seconds:.0f} s; picture: {result.overlay}")


def _show_evaluation(output: Output, evaluation: Evaluation, title: str) -> None:
    rows = [
        [name, _number(row["dice"], 3), _number(row["hd95_mm"], 1), _number(row["volume_error_ml"], 1)]
        for name, row in evaluation.means().items()
    ]
    output.table(title, ["Label", "Dice", "HD95 (mm)", "Volume error (ml)"], rows)


def _show_cases(output: Output, evaluation: Evaluation) -> None:
    rows = [
        [case.image_id, name, _number(row["dice"], 3), _number(row.get("hd95_mm"), 1)]
        for case in evaluation.cases
        for name, row in case.labels.items()
    ]
    output.table("Per case", ["Image", "Label", "Dice", "HD95 (mm)"], rows)


def _number(value: Any, digits: int) -> str:
    return "undefined" if value is None or value != value else f"{value:.{digits}f}"
