"""Walks through SEG objects and SR documents of a PACS and takes over what the rule admits, oldest first, each once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydicom import Dataset
from sqlalchemy.exc import IntegrityError

from ..annotations.adoption import Adoption, AdoptionRule, tag_of
from ..annotations.annotation import FINAL_TAG, Annotation, Origin
from ..annotations.notes import ADOPTED, place_in
from ..annotations.store import AnnotationStore
from ..datastores.port import ImageRecord, ImageStore
from ..dicom.instances import damage_refused
from ..dicom.provenance import DocumentKind, ObjectReference, made_by_carina
from ..dicom.series import read_grid
from ..errors import CarinaError, ConflictError, DicomError, InvalidInputError, PacsError, UnknownLabelError
from ..regions import Place
from .adoptable import KINDS, Adoptable, content_of, describe

_LOG = logging.getLogger(__name__)
Outcome = Literal["adopted", "admitted", "known", "not admitted", "refused"]
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One SEG object or SR document of the PACS, and what became of it.

    Attributes:
        sop_instance_uid: Of the object.
        outcome: `adopted`; `admitted` in a dry run; `known` if it is an annotation's already; `not admitted` by the
            rule; `refused` because it cannot be an annotation.
        reason: Why it was refused.
        image_id: What it belongs to, if that was found out.
        annotation_id: What it is here.
        tag: Under which tag.
    """

    sop_instance_uid: str
    outcome: Outcome
    reason: str = ""
    image_id: str | None = None
    annotation_id: str | None = None
    tag: str | None = None


class Adopter:
    """Adopts SEG objects and SR documents of findings; safe to run twice, in two processes, or beside a server.

    Args:
        store: The PACS.
        annotations: Where adopted versions go; none that is there is changed.
        rule: What may be adopted.
    """

    def __init__(self, store: ImageStore, annotations: AnnotationStore, *, rule: AdoptionRule) -> None:
        self._store = store
        self._annotations = annotations
        self._rule = rule

    def run(
        self,
        *,
        image_id: str | None = None,
        dry_run: bool = False,
        progress: Callable[[float, str], None] = lambda fraction, phrase: None,
    ) -> list[Finding]:
        """Look at every object of one image, or of all.

        Args:
            image_id: The image; None for all.
            dry_run: Only say what would be adopted.
            progress: Told how far it is.

        Returns:
            One finding for each object, in no particular order.

        Raises:
            UnknownImageError: If the image is not in the PACS.
            PacsError: If the PACS fails; what was adopted until then stays.
        """
        records = [self._store.record(image_id)] if image_id else self._store.list_images()
        study = records[0].study_instance_uid if image_id else None
        findings: list[Finding] = []
        admitted: list[Adoptable] = []
        objects = [(kind, uid) for kind in KINDS for uid in self._store.find_documents(kind, study)]
        for number, (kind, uid) in enumerate(objects):
            progress(0.5 * number / len(objects), f"object {number + 1} of {len(objects)}")
            found = self._look_at(uid, kind)
            if isinstance(found, Finding):
                findings.append(found)
            elif image_id is None or self._record_of(found, records) is not None:
                admitted.append(found)
        ordered = in_order(admitted)
        for number, seg in enumerate(ordered):
            progress(0.5 + 0.5 * number / len(ordered), f"{number + 1} of {len(ordered)} to adopt")
            findings.append(self._take(seg, records, dry_run=dry_run))
        return findings

    def _look_at(self, uid: str, kind: DocumentKind) -> Adoptable | Finding:
        known = self._annotations.deliveries.by_instance(uid)
        if known is not None:
            return Finding(sop_instance_uid=uid, outcome="known", annotation_id=known.annotation_id)
        dataset = self._store.fetch_instance(uid)
        # Another maker's report is for people to read: nothing in it says what is a finding of ours.
        if not self._rule.admits(dataset) or (kind == "SR" and not made_by_carina(dataset)):
            return Finding(sop_instance_uid=uid, outcome="not admitted", reason=_maker(dataset))
        try:
            with damage_refused():
                return describe(dataset, kind)
        except DicomError as error:
            return Finding(sop_instance_uid=uid, outcome="refused", reason=str(error))

    def _take(self, seg: Adoptable, records: Sequence[ImageRecord], *, dry_run: bool) -> Finding:
        record = self._record_of(seg, records)
        if record is None:
            return Finding(sop_instance_uid=seg.uid, outcome="refused", reason="Its images are not in the store.")
        try:
            annotation = None if dry_run else self._adopt(seg, record)
        except PacsError:
            raise
        except (ConflictError, IntegrityError):  # another process was faster
            return Finding(sop_instance_uid=seg.uid, outcome="known", image_id=record.image_id)
        except CarinaError as error:
            return Finding(sop_instance_uid=seg.uid, outcome="refused", image_id=record.image_id, reason=str(error))
        return Finding(
            sop_instance_uid=seg.uid,
            outcome="admitted" if annotation is None else "adopted",
            image_id=record.image_id,
            annotation_id=annotation.id if annotation else None,
            tag=annotation.tag if annotation else None,
        )

    def _adopt(self, seg: Adoptable, record: ImageRecord) -> Annotation:
        dataset = self._store.fetch_instance(seg.uid)
        with damage_refused():
            content = content_of(dataset, seg.kind, store=self._store, record=record)
        before = self._annotations.deliveries.by_instance(seg.predecessor) if seg.predecessor else None
        task = content.provenance.task or None
        since = (
            self._told_since(record.image_id, task=task, place=place_in(content.notes))
            if seg.kind == "SR"
            else self._drawn_since(record.image_id)
        )
        annotation = self._annotations.submit(
            record.image_id,
            content.label,
            names=content.names,
            tag=tag_of(content.provenance.algorithm_type, made=seg.made, in_use_since=since),
            task=task,
            user=content.provenance.user,
            model_version=content.model_version,
            patient_id=record.patient_id,
            origin=cast(Origin, content.provenance.algorithm_type.lower()),
            findings=content.findings,
            notes={**content.notes, ADOPTED: _note(dataset, seg)},
            adopted=Adoption(
                document=ObjectReference(sop_instance_uid=seg.uid, series_instance_uid=content.series_instance_uid),
                parent=before.annotation_id if before else None,
            ),
        )
        _LOG.info("%s %s was adopted as annotation %s, tag %s", seg.kind, seg.uid, annotation.id, annotation.tag)
        return annotation

    def _record_of(self, seg: Adoptable, records: Sequence[ImageRecord]) -> ImageRecord | None:
        """The image an object refers to; a PACS calls it by its series, a folder by a name of its own."""
        by_id = next((record for record in records if record.image_id == seg.source_series_uid), None)
        if by_id is not None or not seg.source_series_uid:
            return by_id
        in_study = [record for record in records if record.study_instance_uid == seg.study_instance_uid]
        return next((record for record in in_study if self._series_uid(record) == seg.source_series_uid), None)

    def _series_uid(self, record: ImageRecord) -> str:
        try:
            return str(read_grid(self._store.fetch(record.image_id))[1].SeriesInstanceUID)
        except InvalidInputError:  # no DICOM series
            return ""

    def _drawn_since(self, image_id: str) -> datetime | None:
        """When the image's label in use was made."""
        try:
            return self._made(self._annotations.latest(image_id))
        except UnknownLabelError:
            return None

    def _told_since(self, image_id: str, *, task: str | None, place: Place | None) -> datetime | None:
        """When the answers in use of a task at a place of the image were given."""
        known = [
            version
            for version in self._annotations.versions(image_id)
            if version.task == task
            and version.tag == FINAL_TAG
            and not version.withdrawn
            and place_in(self._annotations.label_info(version.id)) == place
        ]
        return self._made(known[-1]) if known else None

    def _made(self, version: Annotation) -> datetime:
        made = self._annotations.label_info(version.id).get(ADOPTED, {}).get("made")
        return datetime.fromisoformat(made) if made else version.created


def in_order(segs: Sequence[Adoptable]) -> list[Adoptable]:
    """Oldest first, and whatever its clock says no object before the one it was derived from."""
    waiting = sorted(segs, key=lambda seg: (seg.made or _NEVER, seg.uid))
    ordered: list[Adoptable] = []
    while waiting:
        missing = {seg.uid for seg in waiting}
        ready = [seg for seg in waiting if seg.predecessor not in missing] or waiting[:1]  # a ring is broken anywhere
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _maker(dataset: Dataset) -> str:
    return f"made by '{str(dataset.get('Manufacturer') or 'unknown')[:64]}'"


def _note(dataset: Dataset, seg: Adoptable) -> dict[str, Any]:
    return {
        "sop_instance_uid": seg.uid,
        "manufacturer": str(dataset.get("Manufacturer") or ""),
        "made": seg.made.isoformat() if seg.made else None,
    }
