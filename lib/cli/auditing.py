"""`carina audit`: whether a classification may be trusted on these images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInputError
from ..models.store import ModelStore
from ..networks.factory import require_network
from ..registry import find_tasks
from ..settings import Settings
from .options import DeviceOption, ImagesOption, JsonOption, LabelsOption, TaskArgument
from .output import command

if TYPE_CHECKING:
    from ..audit.answers import RegionOf
    from ..task import TaskSpec

_LUNGS = "lungs"


def audit(
    task: TaskArgument,
    images: ImagesOption,
    labels: LabelsOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where audit.html and audit.json go.")],
    subgroups: Annotated[
        str | None,
        typer.Option(
            "--subgroups",
            metavar="CSV|A,B",
            help="A table with image and one column per attribute, or columns of --labels. "
            "Default: its sex, age, view and device.",
        ),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option("--roi", metavar="lungs", help="Region of interest as the served cxr_anatomy draws it."),
    ] = None,
    roi_from: Annotated[
        Path | None, typer.Option("--roi-from", metavar="DIR", help="Region of interest from label maps or masks/.")
    ] = None,
    roi_labels: Annotated[
        str, typer.Option("--roi-labels", metavar="A,B", help="Structures of --roi-from that make up the region.")
    ] = "lung_left,lung_right",
    model_version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Such as v2; default: the served one.")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Probability from which on an answer is yes.")] = 0.5,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Audit a classification: is it calibrated, as good for every group, free of shortcuts, steady under small changes?

    Every measure gets a verdict in words: ok, flagged, or cannot tell. Take images with known findings that the model
    was not trained on, of the kind it is to work on. With a region of interest the audit takes it away: what is then
    still told comes from a shortcut. Nothing of single images is written.

    Examples:
    [bold]carina audit cxr_covid19 --images cxr/images --labels cxr/cases.csv --roi-from cxr --out audit[/],
    [bold]carina audit cxr_covid19 --images x/images --labels x/findings.csv --subgroups sex,site --roi lungs --out a[/]
    """
    with command(as_json=as_json) as output:
        spec = _checked(task, threshold)
        from ..audit.answers import ask
        from ..audit.audit import audit as judge
        from ..audit.groups import read_groups
        from ..audit.report import COLUMNS, report, rows
        from ..jobs.roi import on_roi
        from ..jobs.work import finite
        from ..models.calibration import Calibration
        from ..networks.devices import resolve_device
        from ..trainers.findings_table import read_findings
        from .drafting import load_drafter
        from .training import stoppable

        models = ModelStore(Settings().models_dir)
        cases = on_roi(read_findings(images, labels, spec), spec, models, device=device)
        groups = read_groups(labels, subgroups, findings=spec.labels.names)
        region_of = _region(roi, roi_from, roi_labels.split(","), images=images, spec=spec, device=device)
        drafter = load_drafter(spec, version=model_version, device=device)
        target = resolve_device(device)
        with stoppable() as stopped, output.progress(f"Audit {spec.name} {drafter.version.version}") as progress:
            answers = ask(
                cases,
                spec=spec,
                network=drafter.network.to(target),
                calibration=Calibration.from_json(drafter.version.calibration),
                device=target,
                region_of=region_of,
                progress=progress,
                cancelled=stopped,
            )
        audited = judge(answers, groups, version=drafter.version.version, threshold=threshold)
        content = report(audited, out)
        output.table(
            f"{spec.name} {drafter.version.version} on {len(cases)} images",
            list(COLUMNS[:-1]),
            [row[:-1] for row in rows(audited)],
        )
        for finding, _, measure, state, _, advice in rows(audited):
            if state == "flagged":
                output.say(f"[red]{finding}, {measure}[/]: {advice}")
        output.say(f"The whole: {content['verdict']}. [green]{out / 'audit.html'}[/], and audit.json beside it.")
        output.result(finite({**content, "report": str(out / "audit.html")}))


def _checked(task: str, threshold: float) -> TaskSpec:
    spec = find_tasks().get(task)
    require_network(spec)
    if not spec.of_whole_images:
        raise InvalidInputError(
            f"An audit must be of a task that tells findings, got '{task}', which draws. Use carina evaluate."
        )
    if not 0 < threshold < 1:
        raise InvalidInputError(f"Option --threshold must lie between 0 and 1, got {threshold:g}.")
    return spec


def _region(
    roi: str | None, folder: Path | None, names: list[str], *, images: Path, spec: TaskSpec, device: str
) -> RegionOf | None:
    from ..audit.regions import lungs_now, region_from

    if roi is not None and folder is not None:
        raise InvalidInputError("Only one of --roi and --roi-from may be given. Leave one out.")
    if folder is not None:
        return region_from(folder, images, spec, names=[name.strip() for name in names])
    if roi is None:
        return None
    if roi != _LUNGS:
        raise InvalidInputError(f"Option --roi must be {_LUNGS}, got '{roi}'. Other regions come with --roi-from.")
    return lungs_now(ModelStore(Settings().models_dir), device=device)
