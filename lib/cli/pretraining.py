"""`carina pretrain`: a task's network learns from images without labels, before there are any."""

from __future__ import annotations

from ..models.store import ModelStore
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .options import (
    DeviceOption,
    ImagesOption,
    JsonOption,
    MaxEpochsOption,
    ProcessesOption,
    StepsOption,
    TaskArgument,
    TrainerOption,
    trainer_options,
)
from .output import command
from .training import stoppable


def pretrain(
    task: TaskArgument,
    images: ImagesOption,
    max_epochs: MaxEpochsOption = None,
    steps_per_epoch: StepsOption = None,
    processes: ProcessesOption = None,
    options: TrainerOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Let a task's network learn to fill in hidden blocks of images that have no labels.

    The result is a version that is never served; a training starts from it by its name. Images of patients that
    trainings of the task are measured on are left out. Whether it helps is to be tried: see docs/pretraining.md.

    Examples: [bold]carina pretrain thorax_ct --images ct[/],
    [bold]carina train thorax_ct --images ct --labels seg --start-from v1[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        from ..jobs.train import work_dir
        from ..networks.devices import resolve_device
        from ..trainers.gathering import help_another
        from ..trainers.options import override
        from ..trainers.pool import read_pool
        from ..trainers.pretraining import pretrain as pretrain_task
        from ..trainers.splits import FileSplitStore

        if help_another(resolve_device(device)):
            return
        named = {"max_epochs": max_epochs, "steps_per_epoch": steps_per_epoch, "processes": processes}
        settings = Settings()
        with stoppable() as stopped, output.progress(f"Pretrain {spec.name}") as report:
            result = pretrain_task(
                read_pool(images),
                spec=spec,
                models=ModelStore(settings.models_dir),
                splits=FileSplitStore(settings.models_dir),
                work_dir=work_dir(settings, spec.name) / "pretraining",
                options=override(spec.trainer, trainer_options(named, options)),
                device=device,
                progress=report,
                cancelled=stopped,
                checkpoint_every_s=settings.checkpoint_every_s,
            )
        name = result.version.version
        output.say(
            f"[green]{spec.name} {name}[/] learned from {result.images} images; it fills in {result.filled:.0%} of "
            f"what is hidden of others. Start from it: carina train {spec.name} … --start-from {name}"
        )
        output.result(
            {
                "task": spec.name,
                "version": name,
                "filled": result.filled,
                "images": result.images,
                "epochs": result.epochs,
                "seconds": round(result.seconds, 1),
            }
        )
