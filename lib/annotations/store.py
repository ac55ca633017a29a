"""The home of annotators' work: immutable versions, committed before anything else happens to them.

A submit writes the label file (flushed, hashed), then commits one transaction with the version, its delivery to the
PACS, the state of its case, the lease it ends and the audit trail. Whatever dies in between leaves either the whole
version or a file nobody was told about, which `sweeping.sweep` sets aside. Any number of threads and processes may use
one store; there are no locks but the database's.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ..errors import CarinaError, InvalidInputError, UnknownLabelError
from ..geometry import Volume
from ..settings import Settings
from .adoption import Adoption
from .annotation import ORIGINS, Annotation, Origin, from_row, safe
from .audit import AuditTrail, record
from .cases import CaseTable, note_drafts, note_version, note_withdrawal
from .changes import voxels_changed
from .database import Database, utc_now
from .deliveries import DeliveryTable
from .files import LabelFiles
from .leases import DEFAULT_LEASE_S, LeaseTable, drop_lease
from .looks import LookTable
from .notes import merge_all_notes, merge_notes, notes_on
from .patients import PatientKeys, load_patient_keys
from .splits import SplitTable
from .tables import AnnotationRow, ImageInfoRow, LabelInfoRow, WithdrawalRow
from .version_table import VersionTable
from .versions import is_readers_work, row_of
from .voxel_values import check_values
from .worklist import Worklist

logger = logging.getLogger(__name__)


class AnnotationStore(VersionTable):
    """Every label version of an installation. Open one with `open_annotations`.

    Args:
        database: Where rows go; its tables must be there.
        files: Where voxels go.
        patients: Turns patient ids into keys.
        lease_s: How long a case stays with the one it was handed to.
    """

    def __init__(
        self, database: Database, *, files: LabelFiles, patients: PatientKeys, lease_s: float = DEFAULT_LEASE_S
    ) -> None:
        super().__init__(database)
        self.files = files
        self.patients = patients
        self.deliveries = DeliveryTable(database)
        self.splits = SplitTable(database)
        self.cases = CaseTable(database)
        self.leases = LeaseTable(database, duration_s=lease_s)
        self.worklist = Worklist(database, lease_s=lease_s)
        self.audit = AuditTrail(database)
        self.looks = LookTable(database)

    def submit(
        self,
        image_id: str,
        label: Volume,
        *,
        names: Mapping[str, int],
        tag: str = "final",
        task: str | None = None,
        user: str | None = None,
        model_version: str | None = None,
        patient_id: str | None = None,
        origin: Origin = "manual",
        deliver: bool = True,
        time_spent_s: float | None = None,
        sources: Sequence[Annotation] = (),
        findings: Mapping[str, bool | None] | None = None,
        notes: Mapping[str, Any] | None = None,
        adopted: Adoption | None = None,
    ) -> Annotation:
        """Store a new version; when this returns it survives a power cut.

        It advances its case as `states.TRANSITIONS` says and ends the user's lease on the image. No state of the case
        refuses it.

        Validation of names and grids against the image is `submit.submit_label`'s.

        Args:
            image_id: Id in the image store.
            label: `(X, Y, Z)` uint8 or uint16 voxel values.
            names: Label name → voxel value in `label`; every non-zero value has one name.
            tag: `original`, `final` or another safe name.
            task: Task it was made for.
            user: Who submits.
            model_version: Version of the model the draft came from.
            patient_id: Kept as a pseudonym only.
            origin: How it was made.
            deliver: Whether the PACS is to have it as well.
            time_spent_s: How long the user worked on it.
            sources: The versions it was merged from; their patient is its patient.
            findings: What the image has and has not as a whole; see `submit.submit_findings`.
            notes: Free notes on the version, kept with it or not at all.
            adopted: The object in the PACS it was read from, which then is its delivery.

        Raises:
            UnsafeIdError: If the image id or the tag could leave its folder.
            ConflictError: If that object is another annotation's already.
            InvalidInputError: If the origin is not one of DICOM's, or the time is none.
            LabelError: If the array is not uint8 or uint16, or names and values do not fit.
            StorageError: If the disk is full or the database cannot be written; then nothing is stored.
        """
        safe(image_id, what="An image id")
        safe(tag, what="A tag")
        if origin not in ORIGINS:
            raise InvalidInputError(f"An origin must be one of {', '.join(ORIGINS)}, got {origin!r}.")
        if time_spent_s is not None and not (math.isfinite(time_spent_s) and time_spent_s >= 0):
            raise InvalidInputError(f"A time spent must be seconds from 0 up, got {time_spent_s}. Leave it out.")
        check_values(label, names)
        parent = self.before(image_id, task) if adopted is None else self._named(adopted.parent)
        annotation_id = uuid.uuid4().hex
        changed = None if findings else voxels_changed(self.files, parent, label, names)
        file_name, sha256 = self.files.write(image_id, annotation_id, label)
        row = AnnotationRow(
            id=annotation_id,
            image_id=image_id,
            task=task,
            tag=tag,
            author=user,
            parent=parent.id if parent else None,
            model_version=model_version,
            origin=origin,
            created=utc_now(),
            sha256=sha256,
            file_name=file_name,
            names=dict(names),
            grid={"shape": list(label.grid.shape), "affine_ras": label.grid.affine_ras.tolist()},
            voxels_changed=changed,
            patient_key=sources[0].patient_key if sources else self.patients.key(patient_id, image_id=image_id),
            time_spent_s=time_spent_s,
            sources=[source.id for source in sources] or None,
            findings=dict(findings) if findings else None,
        )
        try:
            with self.database.writing() as session:
                session.add(row)
                session.flush()
                if notes:
                    merge_notes(session, LabelInfoRow, annotation_id, notes)
                if adopted is not None:
                    self.deliveries.add_arrived(session, annotation_id, adopted.document)
                elif deliver:
                    self.deliveries.add(session, annotation_id)
                if user and is_readers_work(tag):
                    drop_lease(session, image_id, holder=user)
                note_version(session, row)
        except BaseException:
            if self._certainly_absent(annotation_id):
                self.files.discard(file_name)
            raise
        return from_row(row, withdrawn=False)

    def label_path(self, annotation: Annotation) -> Path:
        """The label file (`.nii.gz`).

        Raises:
            StorageError: If it is gone.
        """
        return self.files.path(annotation.file_name)

    def read(self, annotation: Annotation) -> tuple[Volume, dict[str, int]]:
        """Voxels, and label name → voxel value.

        Raises:
            StorageError: If the file is gone or was changed.
        """
        volume = self.files.read(annotation.file_name, sha256=annotation.sha256, grid=annotation.grid)
        return volume, dict(annotation.names)

    def withdraw(self, annotation_id: str, *, user: str | None = None, reason: str = "") -> None:
        """Take a version out of use; row and file stay, and the one before it counts again. Twice does no harm.

        A delivery that has not happened yet is called off.

        Raises:
            UnknownLabelError: If there is no such version.
        """
        with self.database.writing() as session:
            row = row_of(session, annotation_id)
            if session.get(WithdrawalRow, row.id) is None:
                session.add(WithdrawalRow(annotation_id=row.id, author=user, reason=reason, created=utc_now()))
                note_withdrawal(session, row, user=user, reason=reason)
                self.deliveries.call_off(session, row.id)

    def note_draft(
        self, image_id: str, *, task: str, model_version: str, user: str | None, notes: Mapping[str, Any]
    ) -> None:
        """Say that a model has drawn a draft of an image: its case advances, and the notes are kept.

        Raises:
            UnsafeIdError: If the id is not safe.
        """
        self.note_drafts({image_id: notes}, task=task, model_version=model_version, user=user)

    def note_drafts(
        self, notes: Mapping[str, Mapping[str, Any]], *, task: str, model_version: str, user: str | None
    ) -> None:
        """As `note_draft`, of several images at once (image id → notes), which costs no more than of one: all or none.

        Raises:
            UnsafeIdError: If an id is not safe.
        """
        for image_id in notes:
            safe(image_id, what="An image id")
        with self.database.writing() as session:
            note_drafts(session, notes.keys(), task=task, user=user, model_version=model_version)
            merge_all_notes(session, ImageInfoRow, notes)

    def image_info(self, image_id: str) -> dict[str, Any]:
        """Free notes on an image; empty when there are none."""
        with self.database.reading() as session:
            return notes_on(session, ImageInfoRow, image_id)

    def image_infos(self, image_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """As `image_info`, of several images at once: image id → notes."""
        with self.database.reading() as session:
            rows = session.scalars(select(ImageInfoRow).where(ImageInfoRow.subject.in_(image_ids)))
            return {image_id: {} for image_id in image_ids} | {row.subject: dict(row.info) for row in rows}

    def update_image_info(self, image_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merge notes into those on an image, atomically.

        Raises:
            UnsafeIdError: If the id is not safe.
        """
        safe(image_id, what="An image id")
        with self.database.writing() as session:
            return merge_notes(session, ImageInfoRow, image_id, changes)

    def label_info(self, annotation_id: str) -> dict[str, Any]:
        """Free notes on a version; empty when there are none."""
        with self.database.reading() as session:
            return notes_on(session, LabelInfoRow, annotation_id)

    def update_label_info(
        self, annotation_id: str, changes: Mapping[str, Any], *, user: str | None = None
    ) -> dict[str, Any]:
        """Merge notes into those on a version, atomically; the version itself does not change.

        The audit trail gets the notes' names, not what they say.

        Raises:
            UnknownLabelError: If there is no such version.
        """
        with self.database.writing() as session:
            row = row_of(session, annotation_id)
            merged = merge_notes(session, LabelInfoRow, row.id, changes)
            record(
                session, "note", row.image_id, task=row.task, user=user, annotation_id=row.id,
                details={"keys": sorted(changes)},
            )  # fmt: skip
            return merged

    def close(self) -> None:
        """Give the database connections back."""
        self.database.close()

    def _named(self, annotation_id: str | None) -> Annotation | None:
        return None if annotation_id is None else self.get(annotation_id)

    def _certainly_absent(self, annotation_id: str) -> bool:
        """Whether a failed commit left no row; unsure means no, because the file may be somebody's work."""
        try:
            self.get(annotation_id)
        except UnknownLabelError:
            return True
        except CarinaError:
            return False
        return False


def open_annotations(settings: Settings) -> AnnotationStore:
    """The store of an installation, made on first use.

    Raises:
        ConfigurationError: If `<home>/patient.key` is not the one the database was written with.
        StorageError: If `home` is not writable.
    """
    database = Database(settings.database_url)
    database.create_tables()
    patients = load_patient_keys(settings.home / "patient.key", database=database)
    files = LabelFiles(settings.annotations_dir)
    return AnnotationStore(database, files=files, patients=patients, lease_s=settings.lease_minutes * 60)
