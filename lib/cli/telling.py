"""What `carina infer` does for a task of whole images: probabilities, states, and on wish a heat map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datastores.ids import check_id
from ..errors import InvalidInputError
from ..images import split_suffix
from ..infers.classification import Answer, ClassificationInfer
from ..infers.options import LIKELIEST
from ..models.store import ModelStore
from ..settings import Settings
from ..task import TaskSpec
from .drafting import local_path

if TYPE_CHECKING:
    from .output import Output

_PICTURE = ".png"


def tell(
    output: Output,
    spec: TaskSpec,
    image: str,
    *,
    heat_file: Path | None,
    finding: str | None,
    request: dict[str, Any],
    store_url: str | None,
    user: str | None,
) -> None:
    """Ask about one image and say what was answered.

    Args:
        output: Of the command.
        spec: The task.
        image: A path, or an id of the datastore.
        heat_file: `.png`: the image with the heat over it; `.nii.gz`: the heat, 0–1, on the image's grid.
        finding: Whose heat; by default the likeliest.
        request: Options of the inference.
        store_url: Of the datastore.
        user: Of the datastore.

    Raises:
        InvalidInputError: If the file's suffix is no picture's or volume's.
        CarinaError: As `ClassificationInfer.draft` does.
    """
    if heat_file is not None and split_suffix(heat_file.name)[1] not in (_PICTURE, ".nii.gz", ".nii"):
        raise InvalidInputError(f"Option --heatmap must end in .png or .nii.gz, got '{heat_file.name}'.")
    with output.progress(f"Ask {spec.name}") as report:
        shown = finding or (None if heat_file is None else LIKELIEST)
        answer = _answer(spec, image, {**request, "heatmap": shown}, store_url=store_url, user=user, report=report)
    rows = [
        [one.label, f"{one.score:.3f}", one.state, "yes" if one.calibrated else "no"]
        for one in sorted(answer.told, key=lambda one: -one.score)
    ]
    version = answer.params["model_version"]
    output.table(f"{spec.name} {version}", ["Finding", "Probability", "State", "Calibrated"], rows)
    result = {name: answer.params[name] for name in ("task", "model_version", "prediction", "roi", "timings")}
    if heat_file is not None:
        (of,) = answer.heats
        _write_heat(heat_file, answer, of)
        result |= {"heatmap": str(heat_file), "heatmap_of": of}
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
