"""What happened to one image, told in order: the audit trail with what each version is, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..dicom.provenance import DocumentKind
from ..errors import UnknownLabelError
from .annotation import DRAFT_TAG, Annotation
from .audit import AuditEntry
from .deliveries import Delivery, DeliveryState
from .store import AnnotationStore


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of an image's history.

    Attributes:
        when: UTC.
        who: Name; None when nobody said so.
        action: Of the audit trail.
        task: For which task, if for one.
        version: Which version, if one.
        details: Of the audit trail.
        delivery: Where the version's way into the PACS stands now; None if it has none.
        document: As what it goes there.
    """

    when: datetime
    who: str | None
    action: str
    task: str | None
    version: Annotation | None
    details: Mapping[str, Any]
    delivery: DeliveryState | None
    document: DocumentKind | None

    def to_json(self) -> dict[str, Any]:
        """For programs; a version's voxels and grid stay out."""
        version = self.version
        return {
            "when": self.when.isoformat(),
            "who": self.who,
            "action": self.action,
            "task": self.task,
            "annotation": version.id if version else None,
            "tag": version.tag if version else None,
            "model_version": version.model_version if version else self.details.get("model_version"),
            "findings": version.answers if version else {},
            "voxels_changed": version.voxels_changed if version else None,
            "time_spent_s": version.time_spent_s if version else None,
            "withdrawn": version.withdrawn if version else None,
            "delivery": self.delivery,
            "document": self.document,
            "details": dict(self.details),
        }


def history(store: AnnotationStore, image_id: str) -> list[Event]:
    """Everything about an image, oldest first; versions from before there was a trail have their line too."""
    versions = {version.id: version for version in store.versions(image_id)}
    deliveries = {annotation_id: _delivery(store, annotation_id) for annotation_id in versions}
    entries = store.audit.of_image(image_id)
    told = {entry.annotation_id for entry in entries if entry.action in ("draft", "submit", "consensus", "adopt")}
    events = [_untold(version, deliveries[version.id]) for version in versions.values() if version.id not in told]
    for entry in entries:
        known = entry.annotation_id or ""
        events.append(_told(entry, versions.get(known), deliveries.get(known)))
    return events


def _told(entry: AuditEntry, version: Annotation | None, delivery: Delivery | None) -> Event:
    return Event(
        when=entry.created,
        who=entry.user,
        action=entry.action,
        task=entry.task,
        version=version,
        details=entry.details,
        delivery=delivery.state if delivery else None,
        document=delivery.document if delivery else None,
    )


def _untold(version: Annotation, delivery: Delivery | None) -> Event:
    return Event(
        when=version.created,
        who=version.user,
        action="draft" if version.tag == DRAFT_TAG else "submit",
        task=version.task,
        version=version,
        details={},
        delivery=delivery.state if delivery else None,
        document=delivery.document if delivery else None,
    )


def _delivery(store: AnnotationStore, annotation_id: str) -> Delivery | None:
    try:
        return store.deliveries.get(annotation_id)
    except UnknownLabelError:
        return None
