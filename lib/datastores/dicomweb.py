"""Images in any PACS that speaks DICOMweb (PS3.18): QIDO-RS in pages, WADO-RS in any transfer syntax, STOW-RS."""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.errors import InvalidDicomError

from ..dicom.provenance import DocumentKind
from ..errors import PacsError, UnknownImageError
from .cache import SeriesCache
from .dicom_files import one_image_series, opened
from .ids import check_id
from .pacs_http import describe, describe_status, prepare_session
from .port import NON_IMAGE_MODALITIES, Access, Adapter, ImageRecord

_PAGE = 500
_MAX_PAGES = 10_000
_REFRESH_S = 3.0
_REFRESH_SHARE = 10.0
_SERIES_FIELDS = ("00080060", "0008103E", "00100020", "00180015", "0020000D", "0020000E", "00201209")
_ANY_TRANSFER_SYNTAX = (("application/dicom", "*"),)
_DELETE_REFUSED = (403, 404, 405, 501)
_Json = Mapping[str, Any]


class DicomWebStore:
    """Series behind a DICOMweb root; ids are SeriesInstanceUIDs.

    Safe between threads. DICOMweb has no way to ask what is new, so the list is read again, in pages, when it is older
    than 3 s, or than ten times what reading it took. Lock order: the list's lock alone.
    """

    name = "dicomweb"

    def __init__(self, access: Access) -> None:
        self._access = access
        session = prepare_session(requests.Session(), access)
        self._session = session
        self._client = DICOMwebClient(
            access.url.rstrip("/"), session=session, timeout=access.settings.pacs_timeout_s, chunk_size=1 << 40
        )
        self._client.set_http_retry_params(retry=False)  # the session retries, and what is safe only
        key = hashlib.sha256(access.url.rstrip("/").encode()).hexdigest()[:16]
        self._cache = SeriesCache(
            access.settings.cache_dir / f"dicomweb-{key}", limit_gib=access.settings.cache_limit_gib
        )
        self._lock = threading.Lock()
        self._records: dict[str, ImageRecord] = {}
        self._fresh_until = 0.0

    def list_images(self) -> list[ImageRecord]:
        """All series that hold images, ordered by UID."""
        with self._lock:
            self._refresh()
            return [self._records[image_id] for image_id in sorted(self._records)]

    def record(self, image_id: str) -> ImageRecord:
        """What the PACS says about one series."""
        check_id(image_id)
        with self._lock:
            known = self._records.get(image_id) if time.monotonic() < self._fresh_until else None
        return known or self._ask(image_id)

    def fetch(self, image_id: str) -> Path:
        """A folder with the series' instances exactly as they were stored, in any transfer syntax."""
        check_id(image_id)
        study = self._ask(image_id).study_instance_uid
        instances = self._instance_uids(study, image_id)
        revision = hashlib.sha256("\n".join(sorted(instances)).encode()).hexdigest()

        def fill(folder: Path) -> int:
            for uid in instances:
                self._retrieve(study, image_id, uid).save_as(folder / f"{uid}.dcm", enforce_file_format=True)
            return len(instances)

        return self._cache.get(image_id, revision=revision, fill=fill)

    def add_image(self, path: Path, image_id: str | None = None) -> str:
        """Store one series from a DICOM file, folder or zip."""
        with opened(path, self._access.settings) as source:
            series = one_image_series(source, image_id=image_id)
            for file in series.files:
                self.store_instance(dcmread(file))
        self._expire()
        return series.series_instance_uid

    def remove_image(self, image_id: str) -> None:
        """Delete a series; many PACS do not allow it, since the standard does not ask for it."""
        check_id(image_id)
        study = self._ask(image_id).study_instance_uid
        try:
            self._client.delete_series(study, image_id)
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in _DELETE_REFUSED:
                raise PacsError(
                    "The PACS must allow deletion through DICOMweb, and does not. Delete it there."
                ) from error
            raise describe(error, "delete a series", self._access) from error
        except requests.RequestException as error:
            raise describe(error, "delete a series", self._access) from error
        self._expire()
        self._cache.remove(image_id)

    def store_instance(self, dataset: Dataset) -> None:
        """Store one DICOM object, and check that the PACS says it did; one it has already is left as it is."""
        uid = check_id(str(dataset.SOPInstanceUID), what="A SOPInstanceUID")
        with self._errors("store an instance"):
            try:
                answer = self._client.store_instances([_with_file_header(dataset)])
            except requests.HTTPError:
                if self._find_instance(uid) is None:
                    raise
                return
        failed = [str(item.get("ReferencedSOPInstanceUID", "")) for item in answer.get("FailedSOPSequence", [])]
        if failed and self._find_instance(uid) is None:
            reason = answer.FailedSOPSequence[0].get("FailureReason", "unknown")
            raise PacsError(f"The PACS must store an instance, but refused it with reason {reason}. Its log says why.")

    def fetch_instance(self, sop_instance_uid: str) -> Dataset:
        """One DICOM object as it was stored."""
        check_id(sop_instance_uid, what="A SOPInstanceUID")
        found = self._find_instance(sop_instance_uid)
        if found is None:
            raise UnknownImageError(f"Instance {sop_instance_uid} is not in the PACS.")
        return self._retrieve(_text(found, "0020000D"), _text(found, "0020000E"), sop_instance_uid)

    def dicomweb(self) -> Access | None:
        """The root this store reads from."""
        return self._access

    def has_instance(self, sop_instance_uid: str) -> bool:
        """Whether a search finds the object."""
        return self._find_instance(check_id(sop_instance_uid, what="A SOPInstanceUID")) is not None

    def find_documents(self, modality: DocumentKind, study_instance_uid: str | None = None) -> list[str]:
        """Objects by their SOPInstanceUID, series by series."""
        filters = {"Modality": str(modality)}
        if study_instance_uid:
            filters["StudyInstanceUID"] = check_id(study_instance_uid, what="A UID")
        with self._errors("find its results"):
            series = self._pages(
                lambda limit, offset: self._client.search_for_series(
                    limit=limit, offset=offset, fields=_SERIES_FIELDS, search_filters=filters
                ),
                key="0020000E",
            )
        places = [(_text(found, "0020000D"), _text(found, "0020000E")) for found in series]
        return sorted(uid for study, one in places for uid in self._instance_uids(study, one))

    def kept(self, image_id: str) -> Path | None:
        """The cached series, if there is one."""
        return self._cache.find(image_id)

    def status(self) -> dict[str, object]:
        """How many images the PACS holds."""
        state: dict[str, object] = {"name": self.name, "location": self._access.url, "reachable": False}
        try:
            return {**state, "reachable": True, "images": len(self.list_images())}
        except PacsError as error:
            return {**state, "error": str(error)}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _refresh(self) -> None:
        started = time.monotonic()
        if started < self._fresh_until:
            return
        with self._errors("list its series"):
            found = self._pages(
                lambda limit, offset: self._client.search_for_series(limit=limit, offset=offset, fields=_SERIES_FIELDS),
                key="0020000E",
            )
            records = [_record(series) for series in found]
        self._records = {record.image_id: record for record in records if record.modality not in NON_IMAGE_MODALITIES}
        now = time.monotonic()
        self._fresh_until = now + max(_REFRESH_S, _REFRESH_SHARE * (now - started))

    def _expire(self) -> None:
        with self._lock:
            self._fresh_until = 0.0

    def _ask(self, image_id: str) -> ImageRecord:
        with self._errors("describe a series"):
            found = self._client.search_for_series(
                fields=_SERIES_FIELDS, search_filters={"SeriesInstanceUID": image_id}, limit=2
            )
            records = [_record(series) for series in found]
        for record in records:
            if record.image_id == image_id and record.modality not in NON_IMAGE_MODALITIES:
                return record
        raise UnknownImageError(f"Image {image_id} is not in the PACS. Ask for the list again.")

    def _instance_uids(self, study: str, series: str) -> list[str]:
        with self._errors("list a series' instances"):
            found = self._pages(
                lambda limit, offset: self._client.search_for_instances(
                    study, series, limit=limit, offset=offset, fields=("00080018",)
                ),
                key="00080018",
            )
            return [check_id(_text(instance, "00080018"), what="A SOPInstanceUID") for instance in found]

    def _find_instance(self, uid: str) -> _Json | None:
        with self._errors("find an instance"):
            found = self._client.search_for_instances(
                search_filters={"SOPInstanceUID": uid}, fields=("0020000D", "0020000E"), limit=2
            )
        return next((instance for instance in found if _text(instance, "00080018") == uid), None)

    def _retrieve(self, study: str, series: str, instance: str) -> Dataset:
        with self._errors("send an instance"), warnings.catch_warnings():
            # Some servers answer without the multipart envelope; the client copes, and warns.
            warnings.filterwarnings("ignore", message="message sent by origin server", category=UserWarning)
            return self._client.retrieve_instance(study, series, instance, media_types=_ANY_TRANSFER_SYNTAX)

    def _pages(self, search: Callable[[int, int], Sequence[_Json]], *, key: str) -> list[_Json]:
        """Everything a search finds. A server may give smaller pages than asked for, or ignore the offset."""
        found: dict[str, _Json] = {}
        received = 0
        for _ in range(_MAX_PAGES):
            page = search(_PAGE, received)
            before = len(found)
            for item in page:
                uid = _text(item, key)
                if not uid:
                    raise ValueError(f"a result lacks attribute {key}")
                found[uid] = item
            received += len(page)
            if len(found) == before:
                break
        return list(found.values())

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except requests.JSONDecodeError as error:
            raise PacsError(f"{self._access.url} must answer in DICOM JSON. Check the DICOMweb root.") from error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else None
            raise describe_status(status, doing, self._access) from error
        except requests.RequestException as error:
            raise describe(error, doing, self._access) from error
        except (InvalidDicomError, ValueError, KeyError, IndexError, TypeError) as error:
            raise PacsError(f"The PACS at {self._access.url} must {doing}, but its answer is no DICOMweb.") from error


def _with_file_header(dataset: Dataset) -> Dataset:
    """The same object with preamble and file meta information, which the client would not add."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def _record(series: _Json) -> ImageRecord:
    return ImageRecord(
        image_id=_text(series, "0020000E"),
        patient_id=_text(series, "00100020"),
        modality=_text(series, "00080060"),
        study_instance_uid=_text(series, "0020000D"),
        description=_text(series, "0008103E"),
        instances=int(_text(series, "00201209") or 0),
        body_part=_text(series, "00180015"),
    )


def _text(item: _Json, tag: str) -> str:
    """The first value of an attribute in DICOM JSON (PS3.18 F.2), empty if there is none."""
    element = item.get(tag, {})
    if not isinstance(element, Mapping):
        raise ValueError(f"attribute {tag} is no DICOM JSON")
    values = element.get("Value") or [""]
    return str(values[0])


ADAPTER = Adapter(name="dicomweb", open=DicomWebStore)
