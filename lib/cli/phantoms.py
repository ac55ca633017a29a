"""`carina phantom`: synthetic chest CT with exact labels."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..errors import InvalidInputError
from ..images import write_image, write_label
from ..phantoms.chest import STRUCTURES, ChestPhantom, make_chest
from ..phantoms.dicom import write_series
from .options import JsonOption, three_numbers, three_sizes
from .output import command


def phantom(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where images/ and labels/ are written.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many patients.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first patient; the next ones count up.")] = 0,
    shape: Annotated[str, typer.Option("--shape", metavar="X,Y,Z", help="Voxels.")] = "96,96,64",
    spacing: Annotated[
        str | None, typer.Option("--spacing", metavar="X,Y,Z", help="In mm; default: the whole chest fills the shape.")
    ] = None,
    oblique: Annotated[
        str, typer.Option("--oblique", metavar="X,Y,Z", help="Turns about the patient's axes, in degrees.")
    ] = "0,0,0",
    orientation: Annotated[str, typer.Option("--orientation", help="Where the axes run, such as LPS or RAS.")] = "LPS",
    compression: Annotated[
        str, typer.Option("--compression", help="none, rle, jpegls or jpeg2000; all lossless.")
    ] = "none",
    nodule_share: Annotated[
        float, typer.Option("--nodule-share", min=0, max=1, help="Share of the patients who have nodules.")
    ] = 1.0,
    nifti: Annotated[bool, typer.Option("--nifti", help="Write images as NIfTI instead of DICOM series.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make synthetic chest CT with exact labels of lungs, heart, trachea, spine and nodules.

    Examples: [bold]carina phantom --out phantoms --count 12[/],
    [bold]carina phantom --out big --shape 512,512,300 --oblique 10,5,0 --compression jpeg2000[/].
    Then: [bold]carina train thorax_ct --images phantoms/images --labels phantoms/labels[/].
    """
    with command(as_json=as_json) as output:
        sizes, turns = three_sizes(shape, option="--shape"), three_numbers(oblique, option="--oblique")
        spacing_mm = three_numbers(spacing, option="--spacing") if spacing else None
        _refuse_other_files(out)
        (out / "labels").mkdir(parents=True, exist_ok=True)
        written = []
        with output.progress("Phantoms") as report:
            for number in range(count):
                report(number / count, f"patient {number + 1} of {count}")
                patient = f"phantom-{seed + number:03d}"
                made = make_chest(
                    seed + number,
                    shape=sizes,
                    spacing_mm=spacing_mm,
                    oblique_deg=turns,
                    orientation=orientation,
                    nodules=_has_nodules(seed + number, nodule_share),
                )
                series = _write(made, out, patient, seed=seed + number, compression=compression, nifti=nifti)
                written.append({"id": patient, "series_instance_uid": series, "nodules": len(made.nodules)})
        _write_tables(out, STRUCTURES)
        output.say(
            f"[green]{count} phantom(s) in {escape(str(out))}[/]: images/ and labels/, as `carina train` takes them."
        )
        output.result(
            {"images": str(out / "images"), "labels": str(out / "labels"), "names": dict(STRUCTURES), "cases": written}
        )


def _has_nodules(seed: int, share: float) -> bool:
    """Whether a patient has nodules; the same patients have them however many are made."""
    return random.Random(seed).random() < share


def _refuse_other_files(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InvalidInputError(f"'{out}' must be a folder, got a file. Choose another --out.")


def _write(made: ChestPhantom, out: Path, patient: str, *, seed: int, compression: str, nifti: bool) -> str | None:
    """Image and truth of one patient; the series' UID for DICOM."""
    write_label(out / "labels" / f"{patient}.nii.gz", made.label)
    if nifti:
        (out / "images").mkdir(exist_ok=True)
        write_image(out / "images" / f"{patient}.nii.gz", made.image)
        return None
    series = write_series(
        made.image, out / "images" / patient, patient_id=patient.upper(), seed=seed, compression=compression
    )
    return series.series_instance_uid


def _write_tables(out: Path, structures: Mapping[str, int]) -> None:
    """`labels.json`, and `cases.csv` with every patient the folder holds."""
    (out / "labels" / "labels.json").write_text(json.dumps(dict(structures), indent=2) + "\n", encoding="utf-8")
    patients = sorted(path.name.removesuffix(".nii.gz") for path in (out / "labels").glob("*.nii.gz"))
    with (out / "labels" / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "patient"])
        writer.writerows([patient, patient.upper()] for patient in patients)
