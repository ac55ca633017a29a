"""`carina review`: which submitted labels look wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import InvalidInputError
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .options import DeviceOption, JsonOption, StoreOption, TaskArgument, UserOption
from .output import Output, command

if TYPE_CHECKING:
    from ..models.label_quality import Suspicion
    from ..task import TaskSpec
    from ..trainers.cases import Case


def review(
    task: TaskArgument,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Folder of images, as `carina train` takes it.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="DIR", help="Folder of their labels; both or neither.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Networks to train; each draws what it never saw.")] = 3,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Of each network; default: a quarter of a training's.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many are shown; --json has all.")] = 20,
    store: StoreOption = None,
    user: UserOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show which labels look wrong, worst first, and why: shifted, a structure missing, left and right exchanged.

    A few networks are trained for a short while, each without a part of the patients, and draw those patients' images.
    What stands out is not the disagreement, but how much larger it is than is usual for that structure, and what nearly
    all other labels have otherwise: a structure that is there, left on the left. Nothing is stored or changed: look at
    these cases, then correct them or reject them with [bold]carina annotations reject[/].

    Without folders the labels that trainings would learn from are reviewed: those in the annotation store.

    Examples: [bold]carina review thorax_ct[/],
    [bold]carina review thorax_ct --images ct --labels seg --folds 5 --json[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        require_network(spec)
        if spec.of_whole_images:
            raise InvalidInputError(f"A task must draw structures for its labels to be reviewed, got '{spec.name}'.")
        if (images is None) != (labels is None):
            raise InvalidInputError("A review must have --images and --labels, or neither for the annotation store.")
        from ..infers.sliding_window import predict
        from ..jobs.train import work_dir
        from ..models.label_quality import not_learned, rank_labels
        from ..trainers.reviewing import compare_out_of_sample
        from .training import stoppable

        settings = Settings()
        with (
            _labelled(spec, images, labels, settings, store=store, user=user) as cases,
            stoppable("Nothing was stored.") as stopped,
            output.progress(f"Review {spec.name}") as report,
        ):
            compared = compare_out_of_sample(
                cases,
                spec=spec,
                predict=predict,
                folds=folds,
                steps=steps,
                device=device,
                work_dir=work_dir(settings, spec.name),
                progress=report,
                cancelled=stopped,
            )
        found = rank_labels(compared)
        missed = not_learned(compared)
        _show(output, found, count)
        if missed:
            output.say(f"Networks did not learn {', '.join(missed)} in so few steps (--steps): only whether such a "
                       f"structure is missing or exchanged is noticed.")  # fmt: skip
        output.result(
            {
                "task": spec.name,
                "folds": folds,
                "not_learned": list(missed),
                "cases": [one.to_json() for one in found],
            }
        )


@contextmanager
def _labelled(
    spec: TaskSpec,
    images: Path | None,
    labels: Path | None,
    settings: Settings,
    *,
    store: str | None,
    user: str | None,
) -> Iterator[list[Case]]:
    """The labelled images of two folders, or those of the annotation store whose images the datastore has."""
    if images is not None and labels is not None:
        from ..trainers.dataset import read_case_folder

        yield read_case_folder(images, labels, spec)
        return
    from ..annotations.store import open_annotations
    from ..jobs.cases import labelled_cases
    from .stores import image_store

    annotations = open_annotations(settings)
    try:
        with image_store(settings, store, user=user) as found:
            yield cast("list[Case]", labelled_cases(annotations, found, spec))
    finally:
        annotations.close()


def _show(output: Output, found: Sequence[Suspicion], count: int) -> None:
    suspects = sum(one.suspect for one in found)
    shown = found[: max(count, 0)]
    output.table(
        "Labels, worst first",
        ["Image", "Score", "What seems wrong"],
        [[one.image_id, f"{one.score:.2f}", "; ".join(one.reasons) or "–"] for one in shown],
    )
    output.say(f"[{'yellow' if suspects else 'green'}]{suspects} of {len(found)} label(s) look wrong.[/]")
