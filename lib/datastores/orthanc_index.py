"""What an Orthanc holds, as a list in memory.

Orthanc logs new and completed series in `/changes`, but not what was deleted; deletions show as a count of series that
differs from ours, and then the lists of ids are compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from orthanc_api_client import ChangeType, OrthancApiClient, ResourceType
from orthanc_api_client import exceptions as orthanc_errors

from ..errors import UnknownImageError
from .port import NON_IMAGE_MODALITIES, ImageRecord

_PAGE = 500
_CHANGES_PAGE = 1000
_REFRESH_S = 1.0
_MANY_CHANGED = 50


class SeriesIndex:
    """What Orthanc holds, kept in memory and brought up to date by what changed, at most once a second.

    Safe between threads. Raises what the client raises.
    """

    def __init__(self, client: OrthancApiClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._records: dict[str, ImageRecord] = {}  # by Orthanc's id, images or not
        self._by_image: dict[str, tuple[str, ImageRecord]] = {}  # in the order of ids, images alone
        self._listed: dict[str, ImageRecord] = {}  # what it was made of
        self._unstable: set[str] = set()  # Orthanc's ids of series that may still be arriving
        self._last_change: int | None = None
        self._fresh_until = 0.0

    def images(self) -> list[ImageRecord]:
        """All series that hold images, ordered by UID."""
        with self._lock:
            self._refresh()
            return [record for _, record in self._by_image.values()]

    def find(self, image_id: str) -> tuple[str, ImageRecord]:
        """Orthanc's id and the record of one image; asks again at once if it is not known."""
        with self._lock:
            self._refresh()
            match = self._by_image.get(image_id)
            if match is None:
                self._fresh_until = 0.0
                self._refresh()
                match = self._by_image.get(image_id)
        if match is None:
            raise unknown_image(image_id)
        return match

    def expire(self) -> None:
        """Ask Orthanc at the next call."""
        with self._lock:
            self._fresh_until = 0.0

    def _refresh(self) -> None:
        if time.monotonic() < self._fresh_until:
            return
        if self._last_change is None or not self._apply_changes():
            self._load_all()
        self._drop_deleted()
        if self._records != self._listed:
            self._by_image, self._listed = _images_of(self._records), dict(self._records)
        self._fresh_until = time.monotonic() + _REFRESH_S

    def _apply_changes(self) -> bool:
        """Bring in what is new since the last call; False if there is too much, or the log was cleared."""
        changed: set[str] = set()
        since, done = self._last_change or 0, False
        while not done:
            changes, last, done = self._client.get_changes(since=since, limit=_CHANGES_PAGE)
            if last < since:
                return False
            since = last
            changed |= {
                change.resource_id
                for change in changes
                if change.resource_type == ResourceType.SERIES
                and change.change_type in (ChangeType.NEW_SERIES, ChangeType.STABLE_SERIES)
            }
        if len(changed) > _MANY_CHANGED:
            return False
        if len(self._unstable) <= _MANY_CHANGED:
            changed |= self._unstable
        for orthanc_id in changed:
            self._load_one(orthanc_id)
        self._last_change = since
        return True

    def _load_one(self, orthanc_id: str) -> None:
        try:
            series = self._client.series.get_json(orthanc_id)
            study = self._client.studies.get_json(series["ParentStudy"])
        except orthanc_errors.ResourceNotFound:
            self._records.pop(orthanc_id, None)
            self._unstable.discard(orthanc_id)
            return
        self._records[orthanc_id] = _record(series, study)
        if series.get("IsStable", True):
            self._unstable.discard(orthanc_id)
        else:
            self._unstable.add(orthanc_id)

    def _load_all(self) -> None:
        last = int(self._client.get_json("changes?last")["Last"])
        studies = {study["ID"]: study for study in self._pages("studies")}
        records, unstable = {}, set()
        for series in self._pages("series"):
            study = studies.get(series["ParentStudy"])
            if study is not None:
                records[series["ID"]] = _record(series, study)
                if not series.get("IsStable", True):
                    unstable.add(series["ID"])
        self._records, self._unstable, self._last_change = records, unstable, last

    def _pages(self, level: str) -> Iterator[Mapping[str, Any]]:
        since = 0
        while page := self._client.get_json(f"{level}?expand&since={since}&limit={_PAGE}"):
            yield from page
            since += len(page)

    def _drop_deleted(self) -> None:
        if self._client.get_statistics().series_count != len(self._records):
            present = set(self._client.series.get_all_ids())
            self._records = {key: record for key, record in self._records.items() if key in present}
            self._unstable &= present
            for orthanc_id in sorted(present - self._records.keys()):
                self._load_one(orthanc_id)


def _record(series: Mapping[str, Any], study: Mapping[str, Any]) -> ImageRecord:
    tags = series["MainDicomTags"]
    return ImageRecord(
        image_id=tags["SeriesInstanceUID"],
        patient_id=study["PatientMainDicomTags"].get("PatientID", ""),
        modality=tags.get("Modality", ""),
        study_instance_uid=study["MainDicomTags"].get("StudyInstanceUID", ""),
        description=tags.get("SeriesDescription", ""),
        instances=len(series["Instances"]),
        body_part=tags.get("BodyPartExamined", ""),
    )


def _is_image(record: ImageRecord) -> bool:
    return record.modality not in NON_IMAGE_MODALITIES


def _images_of(records: Mapping[str, ImageRecord]) -> dict[str, tuple[str, ImageRecord]]:
    """Image id → Orthanc's id and record, in the order of ids; of a series stored twice the first of Orthanc's ids."""
    found: dict[str, tuple[str, ImageRecord]] = {}
    for orthanc_id, record in sorted(records.items(), key=lambda item: (item[1].image_id, item[0])):
        if _is_image(record):
            found.setdefault(record.image_id, (orthanc_id, record))
    return found


def unknown_image(image_id: str) -> UnknownImageError:
    """The error for an id that Orthanc does not hold."""
    return UnknownImageError(f"Image {image_id} is not in the PACS. Ask for the list again.")
