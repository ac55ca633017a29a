"""The edge where a client's label becomes an annotation: names and grids are checked, voxels brought to the image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import LabelError
from ..geometry import Grid, Volume, resample_label
from ..label_maps import label_type
from ..labels import did_you_mean
from ..regions import Place
from ..structures import STRUCTURES
from ..task import TaskSpec
from .annotation import Annotation, Origin, safe
from .notes import ADOPTED, PLACE
from .store import AnnotationStore
from .voxel_values import check_names, present_values, recode, unnamed_values, unsigned

PREDICTION = "prediction"
"""The note on a version of findings that holds what the model had said; clients cannot change it."""

MEASUREMENTS = "measurements"
"""The note on a version of findings that holds what was measured on the image; clients cannot change it."""

SERVERS_NOTES = (PREDICTION, MEASUREMENTS, PLACE, ADOPTED)

_BACKGROUND = "background"
NO_VOXELS = Volume(np.zeros((1, 1, 1), dtype=np.uint8), Grid((1, 1, 1), np.eye(4)))
"""The label map of a version of findings."""


def submit_label(
    store: AnnotationStore,
    *,
    image_id: str,
    image: Grid,
    label: Volume,
    client_names: Mapping[str, int] | None = None,
    spec: TaskSpec | None = None,
    tag: str = "final",
    user: str | None = None,
    model_version: str | None = None,
    patient_id: str | None = None,
    origin: Origin = "manual",
    deliver: bool = True,
    time_spent_s: float | None = None,
) -> Annotation:
    """Check a label from outside and store it on its image's grid; nothing is stored when anything is wrong.

    Args:
        store: Where it goes.
        image_id: Id in the image store.
        image: The image's grid; the stored label lies exactly on it.
        label: `(X, Y, Z)` whole numbers of any type, on any grid that overlaps; voxel values are kept as sent.
        client_names: Label name → voxel value. A name at 0 is the background. Names without voxels say
            "looked for, not there"; unknown ones among those are left out. Where labels of the task overlap and all
            values are powers of two, a voxel may have the sum of several.
        spec: The task; its label indices count when the client sends no names.
        tag: `original`, `final` or another safe name.
        user: Who submits.
        model_version: Version of the model the draft came from.
        patient_id: Kept as a pseudonym only.
        origin: How it was made.
        deliver: Whether the PACS is to have it as well.
        time_spent_s: How long the user worked on it.

    Raises:
        UnsafeIdError: If the image id or the tag could leave its folder.
        LabelError: If a voxel value has no name, a name is unknown, two names share a value, or the task draws nothing.
        GeometryError: If no labelled voxel falls onto the image.
        StorageError: If it cannot be stored.
    """
    safe(image_id, what="An image id")
    safe(tag, what="A tag")
    if spec is not None and spec.of_whole_images:
        raise LabelError(
            f"A label map must be of a task that draws, got '{spec.name}', which tells findings. Send its findings."
        )
    given = Volume(unsigned(label.array), label.grid)
    names = _checked_names(given, client_names, spec)
    return store.submit(
        image_id,
        resample_label(given, grid=image),
        names=names,
        tag=tag,
        task=spec.name if spec else None,
        user=user,
        model_version=model_version,
        patient_id=patient_id,
        origin=origin,
        deliver=deliver,
        time_spent_s=time_spent_s,
    )


def submit_findings(
    store: AnnotationStore,
    *,
    image_id: str,
    findings: Mapping[str, object],
    spec: TaskSpec,
    tag: str = "final",
    user: str | None = None,
    model_version: str | None = None,
    patient_id: str | None = None,
    origin: Origin = "manual",
    deliver: bool = True,
    time_spent_s: float | None = None,
    said: Sequence[Mapping[str, Any]] = (),
    measured: Sequence[Mapping[str, Any]] = (),
    place: Place | None = None,
) -> Annotation:
    """Store what an image has and has not as a whole: a version like any other, immutable and audited.

    Args:
        store: Where it goes.
        image_id: Id in the image store.
        findings: Name → true or 1, false or 0, or None for "unsure", which is kept and teaches nothing; at least one.
        spec: The task.
        tag: `original`, `final` or another safe name.
        user: Who submits.
        model_version: Version of the model whose answer was looked at.
        patient_id: Kept as a pseudonym only.
        origin: How it was made.
        deliver: Whether the PACS is to have it as well.
        time_spent_s: How long the user worked on it.
        said: What the model said of each finding (`Draft.prediction`); kept with the version under `PREDICTION`.
        measured: What was measured (`Draft.measurements`); kept under `MEASUREMENTS`.
        place: Which part of the image it is about, of a task that judges parts; kept under `PLACE`.

    Raises:
        UnsafeIdError: If the image id or the tag could leave its folder.
        LabelError: If a name is not a finding of the task, an answer is none, or nothing is answered.
        StorageError: If it cannot be stored.
    """
    if not spec.of_whole_images:
        raise LabelError(
            f"Findings must be of a task that tells them, got '{spec.name}', which draws. Send a label map."
        )
    if spec.crop_mm is not None and place is None:
        raise LabelError(
            f"Findings of '{spec.name}' must say where they are, got neither a click nor a box. Send 'foreground' "
            f"with a voxel [[i, j, k]], or 'box' with [i0, i1, j0, j1, k0, k1]."
        )
    answers = {spec.labels.named(name).name: _answer(name, value) for name, value in findings.items()}
    if not answers:
        raise LabelError(
            f"At least one finding must be answered, got none. Send one of {', '.join(spec.labels.names)}."
        )
    return store.submit(
        image_id,
        NO_VOXELS,
        names={},
        tag=tag,
        task=spec.name,
        user=user,
        model_version=model_version,
        patient_id=patient_id,
        origin=origin,
        deliver=deliver,
        time_spent_s=time_spent_s,
        findings=answers,
        notes={key: list(rows) for key, rows in ((PREDICTION, said), (MEASUREMENTS, measured), (PLACE, place)) if rows}
        or None,
    )


def _answer(name: str, value: object) -> bool | None:
    if value is not None and value not in (True, False):
        raise LabelError(f"The answer to '{name[:64]}' must be true, false or null, got {str(value)[:32]!r}. Send one.")
    return None if value is None else bool(value)


def for_task(store: AnnotationStore, annotation: Annotation, spec: TaskSpec) -> Volume:
    """A stored label as a label map of a task, by name; names that are not the task's become background.

    Returns:
        `(X, Y, Z)` of `label_maps.label_type`.

    Raises:
        StorageError: If the label file is gone or was changed.
    """
    stored, names = store.read(annotation)
    array = recode(stored.array, names, spec.labels.values, sums=spec.labels.overlapping)
    return Volume(array.astype(label_type(spec.labels)), stored.grid)


def _checked_names(label: Volume, client_names: Mapping[str, int] | None, spec: TaskSpec | None) -> dict[str, int]:
    present = present_values(label.array)
    if client_names is None:
        names = spec.labels.indices if spec else {}
    else:
        names = {name: value for name, value in client_names.items() if value != 0 and name.lower() != _BACKGROUND}
    check_names(names)
    _refuse_unnamed(unnamed_values(label.array, names, sums=spec is not None and spec.labels.overlapping))
    known: Collection[str] = {*STRUCTURES, *(spec.labels.names if spec else ())}
    for name, value in names.items():
        if name not in known and value in present:
            raise LabelError(
                f"Label '{name[:64]}' must be one of the task's or of the catalogue's structures, got neither."
                f"{did_you_mean(name, known)} Rename it and submit again."
            )
    return {name: value for name, value in names.items() if name in known}


def _refuse_unnamed(values: set[int]) -> None:
    unnamed = sorted(values)
    if unnamed:
        shown = ", ".join(str(value) for value in unnamed[:12]) + (", …" if len(unnamed) > 12 else "")
        raise LabelError(
            f"Every voxel value of a label must have a name, got {shown} without one. "
            f"Send the names as label_info, or choose the task the label was made for."
        )
