"""One stored version of one image's labels, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, cast

import numpy as np

from ..datastores.ids import check_id
from ..geometry import Grid
from .tables import AnnotationRow

Origin = Literal["manual", "semiautomatic", "automatic"]
DRAFT_TAG, FINAL_TAG, CONSENSUS_TAG = "original", "final", "consensus"
HISTORY_TAG = "history"
"""Of a version adopted from the PACS that is older than the label in use: kept to be looked at, used by nothing."""
ORIGINS: tuple[Origin, ...] = ("manual", "semiautomatic", "automatic")

safe = check_id  # one rule for every id and tag from outside


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An immutable version.

    Attributes:
        id: 32 hexadecimal digits.
        sequence: Order of the versions in the database.
        image_id: Id in the image store.
        task: Task it was made for, if the client said so.
        tag: `original` (a draft), `final` (a person's work), `consensus` (merged from several), or another name.
        user: Who submitted it.
        parent: Id of the version that was the latest of the image when this one was submitted.
        model_version: Version of the model the draft came from.
        origin: How it was made, in the words of DICOM's Segment Algorithm Type (PS3.3 C.8.20.2).
        created: UTC.
        sha256: Of the label file.
        file_name: Relative to the annotation folder.
        names: Every label the annotator declared → voxel value in the file; one without voxels is absent in the image.
        grid: Where the voxels lie.
        voxels_changed: Voxels whose label differs from the parent's; None without a parent or when too large to count.
        patient_key: Pseudonym of the patient.
        time_spent_s: How long the user worked on it, if the client said so.
        sources: Ids of the versions it was merged from; empty for all others.
        findings: Finding → whether the image has it, for those somebody looked for; empty for a label map. Such a
            version has no voxels to speak of: its file holds a single empty one.
        unsure: Findings that somebody looked for and could not tell; they teach nothing.
        withdrawn: Taken out of use; never deleted.
    """

    id: str
    sequence: int
    image_id: str
    task: str | None
    tag: str
    user: str | None
    parent: str | None
    model_version: str | None
    origin: Origin
    created: datetime
    sha256: str
    file_name: str
    names: Mapping[str, int]
    grid: Grid
    voxels_changed: int | None
    patient_key: str
    time_spent_s: float | None = None
    sources: tuple[str, ...] = ()
    findings: Mapping[str, bool] = field(default_factory=dict)
    unsure: tuple[str, ...] = ()
    withdrawn: bool = False

    @property
    def answers(self) -> dict[str, bool | None]:
        """Every finding that was looked for; None for "unsure"."""
        return {**self.findings, **dict.fromkeys(self.unsure)}


def from_row(row: AnnotationRow, *, withdrawn: bool) -> Annotation:
    """Plain data of a row."""
    answers = row.findings or {}
    return Annotation(
        id=row.id,
        sequence=row.sequence,
        image_id=row.image_id,
        task=row.task,
        tag=row.tag,
        user=row.author,
        parent=row.parent,
        model_version=row.model_version,
        origin=cast(Origin, row.origin),
        created=row.created,
        sha256=row.sha256,
        file_name=row.file_name,
        names=dict(row.names),
        grid=Grid(tuple(row.grid["shape"]), np.array(row.grid["affine_ras"], dtype=np.float64)),
        voxels_changed=row.voxels_changed,
        patient_key=row.patient_key,
        time_spent_s=row.time_spent_s,
        sources=tuple(row.sources or ()),
        findings={name: answer for name, answer in answers.items() if answer is not None},
        unsure=tuple(name for name, answer in answers.items() if answer is None),
        withdrawn=withdrawn,
    )
