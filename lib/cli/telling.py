"""What `carina infer` does for a task of whole images: probabilities, states, and on wish a heat map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datastores.ids import check_id
from ..dicom.sr import write_findings
from ..errors import InvalidInputError
from ..image_formats import split_suffix
from ..images import write_atomically
from ..infers.classification import Answer, ClassificationInfer
from ..infers.options import FINDINGS_OPTIONS, LIKELIEST
from ..infers.prompts import place_of
from ..infers.told import reported
from ..models.store import ModelStore
from ..settings import Settings
from ..task import TaskSpec
from .drafting import local_path

if TYPE_CHECKING:
    from .output import Output

_PICTURE = ".png"
_TEXT, _SR = ".txt", ".dcm"
_TOLD = ("task", "model_version", "prediction", "measurements", "report", "roi", "place", "timings")


@dataclass(frozen=True, kw_only=True)
class Files:
    """What a person wants written.

    Attributes:
        heat: `.png`: the image with the heat over it; `.nii.gz`: the heat, 0–1, on the image's grid.
        finding: Whose heat; by default the likeliest.
        report: `.txt`: the report in sentences; `.dcm`: the report as a DICOM SR document.

    Raises:
        InvalidInputError: If a suffix is none of these.
    """

    heat: Path | None = None
    finding: str | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        if self.heat is not None and split_suffix(self.heat.name)[1] not in (_PICTURE, ".nii.gz", ".nii"):
            raise InvalidInputError(f"Option --heatmap must end in .png or .nii.gz, got '{self.heat.name}'.")
        if self.report is not None and self.report.suffix not in (_TEXT, _SR):
            raise InvalidInputError(f"Option --report must end in .txt or .dcm, got '{self.report.name}'.")

    @property
    def shown(self) -> str | None:
        """Whose heat is asked for."""
        return self.finding or (None if self.heat is None else LIKELIEST)


def request_of(spec: TaskSpec, given: Mapping[str, object], *, point: str | None, box: str | None) -> dict[str, Any]:
    """The request that options of the command line make; places are voxels with commas.

    Raises:
        InvalidInputError: If an option makes no sense.
    """
    request = {one.name: one.parse(given[one.name]) for one in FINDINGS_OPTIONS if one.name in given}
    if spec.crop_mm is None and (point or box):
        raise InvalidInputError(f"Task '{spec.name}' must be asked about whole images, got a place. Leave it out.")
    prompts = {"foreground": [_numbers("--point", point)] if point else None, "box": _numbers("--box", box)}
    return request | place_of(prompts, spec)


def tell(
    output: Output,
    spec: TaskSpec,
    image: str,
    *,
    files: Files,
    request: dict[str, Any],
    store_url: str | None,
    user: str | None,
) -> None:
    """Ask about one image and say what was answered.

    Args:
        output: Of the command.
        spec: The task.
        image: A path, or an id of the datastore.
        files: What is written.
        request: Options of the inference.
        store_url: Of the datastore.
        user: Of the datastore.

    Raises:
        InvalidInputError: If an SR document is wanted of an image that is not DICOM.
        CarinaError: As `ClassificationInfer.draft` does.
    """
    with output.progress(f"Ask {spec.name}") as report:
        asked = {**request, "heatmap": files.shown}
        answer = _answer(spec, image, asked, store_url=store_url, user=user, report=report)
    rows = [
        [one.label, f"{one.score:.3f}", one.state, "yes" if one.calibrated else "no"]
        for one in sorted(answer.told, key=lambda one: -one.score)
    ]
    version = answer.params["model_version"]
    output.table(f"{spec.name} {version}", ["Finding", "Probability", "State", "Calibrated"], rows)
    measured = [[one.quantity.code.meaning, f"{one.value:g}", one.quantity.unit_shown] for one in answer.measurements]
    if measured:
        output.table("Measured", ["Quantity", "Value", "Unit"], measured)
    result = {name: answer.params[name] for name in _TOLD if name in answer.params}
    if files.heat is not None:
        (of,) = answer.heats
        _write_heat(files.heat, answer, of)
        result |= {"heatmap": str(files.heat), "heatmap_of": of}
    if files.report is not None:
        _write_report(files.report, answer)
        result["report_file"] = str(files.report)
    output.result(result)


def _answer(
    spec: TaskSpec, image: str, request: dict[str, Any], *, store_url: str | None, user: str | None, report: Any
) -> Answer:
    models, path = ModelStore(Settings().models_dir), local_path(image)
    if path is not None:
        return ClassificationInfer(spec, models).answer({**request, "image": path}, progress=report)
    from .stores import image_store

    with image_store(Settings(), store_url, user=user) as store:
        asked = {**request, "image": check_id(image)}
        return ClassificationInfer(spec, models, store).answer(asked, progress=report)


def _write_report(path: Path, answer: Answer) -> None:
    if path.suffix == _TEXT:

        def write(temporary: Path) -> None:
            temporary.write_text(answer.params["report"] + "\n", encoding="utf-8")

        write_atomically(path, write)
        return
    if answer.series is None:
        raise InvalidInputError(
            f"A DICOM SR must refer to a DICOM series, got an image of another format. Write {path.stem}{_TEXT}."
        )
    document = write_findings(
        reported(answer.told, answer.spec),
        answer.series,
        provenance=answer.provenance,
        complete=True,
        final=False,
        measurements=answer.measurements,
        place=answer.place,
    )
    write_atomically(path, lambda temporary: document.save_as(temporary, enforce_file_format=True))


def _numbers(option: str, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInputError(f"Option {option} must be whole numbers with commas, got '{text}'.") from error


def _write_heat(path: Path, answer: Answer, finding: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    heat = answer.heats[finding]
    if path.suffix == _PICTURE:
        from .overlay import write_heat

        score = next(one.score for one in answer.told if one.label == finding)
        write_heat(path, answer.image, heat, title=f"{finding} {score:.2f}", spec=answer.spec)
    else:
        from ..images import write_image

        write_image(path, heat)
