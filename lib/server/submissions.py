"""A label sent by a client becomes an annotation: whose names, which task, drawn from which draft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..annotations.annotation import CONSENSUS_TAG, DRAFT_TAG, HISTORY_TAG, Annotation
from ..annotations.drafts import drafts_of
from ..annotations.submit import submit_findings, submit_label
from ..datastores.ids import check_id
from ..errors import InvalidInputError, LabelError
from ..images import read_label
from ..infers.prompts import place_of
from ..regions import same_place
from ..task import TaskSpec
from .inputs import seconds_of, text_of, user_of
from .label_target import target_of, told_target
from .services import Services


def submit(services: Services, *, image: str, label_file: Path, params: Mapping[str, Any], tag: str) -> Annotation:
    """Check and store a label; its delivery to the PACS follows by itself. Blocks.

    Args:
        services: The server's parts.
        image: Id in the image store.
        label_file: `.nii.gz`, `.nrrd`, `.seg.nrrd` or another readable label map.
        params: `label_info` (list of name and idx), `model` or `task`, `client_id` or `user`, `time_spent_s`.
        tag: `final` unless the client says otherwise.

    Raises:
        UnknownImageError: If the image is not in the store.
        InvalidInputError: If the tag is the server's own.
        PacsError: If the image was never fetched and the PACS does not answer.
        LabelError: If values and names do not fit, or no task has the names.
        GeometryError: If the label does not overlap its image.
    """
    check_id(image)
    _refuse_own(tag)
    label, names_in_file = read_label(label_file)
    target = target_of(services.store, image, label=label.grid)
    names = label_names(params.get("label_info")) or names_in_file
    drafts = {draft.task: draft for draft in drafts_of(services.annotations, image)}
    spec = task_of(services, params, names, drafted=list(drafts))
    draft = drafts.get(spec.name) if spec else None
    annotation = submit_label(
        services.annotations,
        image_id=image,
        image=target.grid,
        label=label,
        client_names=names,
        spec=spec,
        tag=check_id(tag or "final", what="A tag"),
        user=user_of(params),
        model_version=draft.model_version if draft else None,
        patient_id=target.patient_id,
        origin="semiautomatic" if draft else "manual",
        deliver=tag != DRAFT_TAG and target.is_dicom,  # a SEG needs a DICOM series to refer to
        time_spent_s=seconds_of(params, "time_spent_s", "time_spent"),
    )
    services.outbox.wake()
    return annotation


def submit_told(services: Services, *, image: str, findings: object, params: Mapping[str, Any], tag: str) -> Annotation:
    """Check and store what an image has and has not as a whole; its delivery follows by itself. Blocks.

    Args:
        services: The server's parts.
        image: Id in the image store.
        findings: Name → true, false or null.
        params: `model` or `task`, `client_id` or `user`, `time_spent_s`; of a task that judges a part of an image also
            `foreground` or `box`, as in an inference.
        tag: `final` unless the client says otherwise.

    Raises:
        UnknownImageError: If the image is not in the store.
        InvalidInputError: If nothing or no task was sent, the place is off the image, or the tag is the server's own.
        LabelError: If a name is no finding of the task, an answer is none, or the place is missing.
    """
    _refuse_own(tag)
    said = text_of(params, "task") or text_of(params, "model")
    if not isinstance(findings, dict) or said is None:
        raise InvalidInputError(
            'A label must be a file, or params must hold "findings" (name → true, false or null) and "model".'
        )
    spec = services.tasks.get(said)
    place = place_of(params, spec).get("place")
    patient_id, is_dicom = told_target(services.store, check_id(image), place=place)
    drafts = (draft for draft in drafts_of(services.annotations, image) if draft.task == spec.name)
    draft = next((draft for draft in drafts if same_place(draft.place, place)), None)
    annotation = submit_findings(
        services.annotations,
        image_id=image,
        findings=findings,
        spec=spec,
        tag=check_id(tag, what="A tag"),
        user=user_of(params),
        model_version=draft.model_version if draft else None,
        patient_id=patient_id,
        origin="semiautomatic" if draft else "manual",
        deliver=tag != DRAFT_TAG and is_dicom,
        time_spent_s=seconds_of(params, "time_spent_s", "time_spent"),
        said=draft.prediction if draft else (),
        measured=draft.measurements if draft else (),
        place=place,
    )
    services.outbox.wake()
    return annotation


def label_names(label_info: object) -> dict[str, int] | None:
    """Slicer's `[{"name": "liver", "idx": 5}, …]` as name → voxel value; None when there is none.

    Raises:
        LabelError: If an entry has no name, an index that is no whole number, or repeats a name.
    """
    if not label_info:
        return None
    if not isinstance(label_info, list):
        raise LabelError('Parameter \'label_info\' must be a list of {"name": …, "idx": …}.')
    names: dict[str, int] = {}
    for position, entry in enumerate(label_info, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        index = entry.get("idx", position) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(index, int) or isinstance(index, bool):
            raise LabelError(f"Entry {position} of label_info must have a name and a whole number idx.")
        if name in names:
            raise LabelError(f"Each name of label_info must occur once, got '{name[:64]}' again.")
        names[name] = index
    return names


def task_of(
    services: Services, params: Mapping[str, Any], names: Mapping[str, int] | None, *, drafted: list[str]
) -> TaskSpec | None:
    """The task a label was made for.

    The client may say so. Otherwise it is the task that knows most of the label's names; among equals the one that
    drafted the image last, then the one with the fewest labels. None if no task knows any of the names.

    Raises:
        UnknownNameError: If the client names a task that is not there.
        InvalidInputError: If the label has no names and several tasks could be meant.
    """
    said = text_of(params, "task") or text_of(params, "model")
    if said is not None:
        return services.tasks.get(said)
    if names is None:
        candidates = [services.tasks.get(name) for name in drafted[-1:] if name in services.tasks]
        candidates = candidates or (list(services.tasks) if len(services.tasks) == 1 else [])
        if not candidates:
            raise InvalidInputError("A label must come with label_info or the name of its task as 'model'.")
        return candidates[0]

    def fit(spec: TaskSpec) -> tuple[int, int, int]:
        known = sum(name in spec.labels for name in names)
        return known, drafted.index(spec.name) if spec.name in drafted else -1, -len(spec.labels)

    best = max(services.tasks, key=fit, default=None)
    return best if best is not None and fit(best)[0] > 0 else None


def _refuse_own(tag: str) -> None:
    if tag in (CONSENSUS_TAG, HISTORY_TAG):
        raise InvalidInputError(f"Tag '{tag}' must be the server's own, for labels it makes. Submit with another one.")
