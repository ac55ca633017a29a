"""`carina infer`: one draft into a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInputError
from ..registry import find_tasks
from .options import DeviceOption, JsonOption, StoreOption, TaskArgument, UserOption
from .output import command

if TYPE_CHECKING:
    from ..dicom.series import Series
    from ..geometry import Volume
    from ..models.version import ModelVersion
    from ..sizes import SizeUnit
    from ..task import TaskSpec

_PICTURE, _SEG, _FOLDER = ".png", ".dcm", ""
_LABEL_MAPS = (".nii.gz", ".nii", ".nrrd")


def infer(
    task: TaskArgument,
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="Series UID, DICOM folder, NIfTI, NRRD or PNG.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help=".nii.gz: label map; .dcm: DICOM SEG; .png: picture with overlay; a folder: one mask per label. "
            "Findings need none.",
        ),
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option("--heatmap", metavar="FILE", help="Of findings: where one comes from, as .png or .nii.gz."),
    ] = None,
    finding: Annotated[
        str | None, typer.Option("--finding", metavar="NAME", help="Whose heat map; default: the likeliest.")
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option("--roi", metavar="image|lungs", help="Of findings: look at all of it (default), or at the lungs."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Of findings: a report, .txt or .dcm (SR)."),
    ] = None,
    measurements: Annotated[
        str | None,
        typer.Option(
            "--measurements",
            metavar="auto|yes|no",
            help="Of findings: measure the radiograph on what cxr_anatomy draws; auto: where that is served (default).",
        ),
    ] = None,
    point: Annotated[
        str | None,
        typer.Option("--point", metavar="I,J,K", help="Of findings of a part of an image: the voxel to look at."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option("--box", metavar="I0,I1,J0,J1,K0,K1", help="Instead of a point: a box of voxels around it."),
    ] = None,
    device: DeviceOption = "auto",
    overlap: Annotated[
        float | None, typer.Option("--overlap", metavar="0…1", help="Of the windows; default: the task's.")
    ] = None,
    model_version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Such as v2; default: the served one.")
    ] = None,
    store: StoreOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft one image and write the result; of a task of findings, say how likely each is.

    Examples: [bold]carina infer thorax_ct --image study/ --out draft.dcm[/],
    [bold]carina infer thorax_ct --image 1.2.840.1 --out draft.nii.gz[/],
    [bold]carina infer thorax_ct --image ct.nii.gz --out look.png[/],
    [bold]carina infer cxr_anatomy --image chest.png --out masks/[/],
    [bold]carina infer cxr_covid19 --image dx.dcm --heatmap where.png --report report.txt[/],
    [bold]carina infer nodule_malignancy --image ct/ --point 212,140,37[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        of_findings = {
            "--heatmap": heatmap,
            "--finding": finding,
            "--roi": roi,
            "--report": report,
            "--measurements": measurements,
            "--point": point,
            "--box": box,
        }
        of_drawings = {"--out": out, "--overlap": overlap}
        if spec.of_whole_images:
            _refuse(of_drawings, spec, instead=of_findings)
            from .telling import Files, request_of, tell

            given = {"device": device, "model_version": model_version, "roi": roi, "measurements": measurements}
            request = request_of(spec, given, point=point, box=box)
            files = Files(heat=heatmap, finding=finding, report=report)
            tell(output, spec, image, files=files, request=request, store_url=store, user=user)
            return
        _refuse(of_findings, spec, instead=of_drawings)
        kind, out = _kind_of(out, spec)
        from ..models.plausibility import plausibility_of
        from .drafting import load_drafter, read_any

        drafter = load_drafter(spec, version=model_version, device=device, overlap=overlap)
        volume, series = read_any(image, store_url=store, user=user)
        if kind == _SEG and series is None:
            raise InvalidInputError(
                f"A DICOM SEG must refer to a DICOM series, got '{image}'. Write {out.with_suffix('.nii.gz').name}."
            )
        with output.progress(f"Draft with {spec.name} {drafter.version.version}") as tell_progress:
            label = drafter(volume, tell_progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        if kind == _SEG and series is not None:
            _write_seg(out, label, series, spec, drafter.version)
        elif kind == _PICTURE:
            from .overlay import write_overlay

            write_overlay(out, volume, label, spec)
        elif kind == _FOLDER:
            _write_masks(out, label, spec)
        else:
            from ..images import write_label

            write_label(out, label)
        unit = _unit_of(label, series, spec)
        sizes = _sizes(label, unit, spec)
        usual = plausibility_of(drafter.version)
        verdict = None if usual is None else usual.judge(label, spec.labels)
        output.table(str(out), ["Label", unit.title], [[name, unit.number(size)] for name, size in sizes.items()])
        if verdict is not None:
            odd = "; ".join(verdict.reasons) or "like the labels it was trained on"
            output.say(f"Plausibility {verdict.score:.2f}: {odd}.")
        output.result(
            {
                "task": spec.name,
                "model_version": drafter.version.version,
                "out": str(out),
                unit.key: sizes,
                "plausibility": None if verdict is None else verdict.to_json(),
            }
        )


def _refuse(given: Mapping[str, object], spec: TaskSpec, *, instead: Iterable[str]) -> None:
    """Refuse options of the other sort of task, which would else change nothing without a word."""
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        does = "tells findings" if spec.of_whole_images else "draws"
        raise InvalidInputError(
            f"Options must be of the task's kind, got {', '.join(wrong)} for '{spec.name}', which {does}. It has "
            f"{', '.join([*instead, '--device', '--version'])}."
        )


def _kind_of(out: Path | None, spec: TaskSpec) -> tuple[str, Path]:
    """The suffix that decides, empty for a folder of masks; and the file or folder."""
    if out is None:
        raise InvalidInputError(f"Option --out must name a file for what '{spec.name}' draws, got none. Try draft.dcm.")
    name = out.name.lower()
    kind = next((suffix for suffix in (_PICTURE, _SEG, *_LABEL_MAPS) if name.endswith(suffix)), _FOLDER)
    if kind == _FOLDER and "." in name:
        raise InvalidInputError(
            f"Option --out must end in .nii.gz, .nrrd, .dcm or .png, or be a folder, got '{out.name}'."
        )
    if kind in _LABEL_MAPS and spec.labels.overlapping:
        raise InvalidInputError(
            f"A label map must have one label per voxel, but those of '{spec.name}' overlap. Write .dcm or a folder."
        )
    return kind, out


def _write_masks(folder: Path, label: Volume, spec: TaskSpec) -> None:
    """`<folder>/<label>.png`, or `.nii.gz` of more than one slice, with 255 or 1 where the label is; empty ones too."""
    from ..geometry import Volume as Masked
    from ..images import write_label
    from ..label_maps import mask_of

    suffix = ".png" if label.grid.shape[2] == 1 else ".nii.gz"
    for entry in spec.labels:
        mask = mask_of(label.array, entry, spec.labels).astype("uint8")
        write_label(folder / f"{entry.name}{suffix}", Masked(mask * (255 if suffix == ".png" else 1), label.grid))


def _write_seg(out: Path, label: Volume, series: Series, spec: TaskSpec, version: ModelVersion) -> None:
    from ..dicom.seg import Provenance, write_seg
    from ..images import write_atomically

    provenance = Provenance(
        algorithm_type="AUTOMATIC", task=spec.name, model_version=version.version, model_sha256=version.sha256
    )
    seg = write_seg(label, series, labels=spec.labels, provenance=provenance)
    write_atomically(out, lambda temporary: seg.save_as(temporary, enforce_file_format=True))


def _unit_of(label: Volume, series: Series | None, spec: TaskSpec) -> SizeUnit:
    from ..sizes import size_unit

    known = series is not None and series.radiograph_pixel_mm is not None
    return size_unit(label.grid, projection=spec.of_projections, pixel_size_known=known)


def _sizes(label: Volume, unit: SizeUnit, spec: TaskSpec) -> dict[str, Any]:
    from ..label_maps import voxel_counts

    counts = voxel_counts(label.array, spec.labels)
    return {name: round(count * unit.per_voxel, 3) for name, count in counts.items()}
