"""Images in an Orthanc, through its own REST interface: raw archives, and `/changes` for what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import requests
from orthanc_api_client import OrthancApiClient
from orthanc_api_client import exceptions as orthanc_errors
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.errors import InvalidDicomError

from ..dicom.provenance import DocumentKind
from ..errors import ArchiveError, CarinaError, InvalidInputError, PacsError, UnknownImageError
from .archive import ArchiveLimits, unpack_zip
from .cache import SeriesCache
from .dicom_files import one_image_series, opened
from .ids import check_id
from .orthanc_index import SeriesIndex, unknown_image
from .pacs_http import describe, describe_status, pacs_errors, prepare_session
from .port import Access, Adapter, ImageRecord

_CHUNK_BYTES = 1 << 20


class _Client(OrthancApiClient):
    """The Orthanc client with time limits, TLS rules, and errors of ours where it would lose them."""

    def __init__(self, access: Access) -> None:
        super().__init__(access.url.rstrip("/") + "/")
        self._access = access
        prepare_session(self._http_session, access, repeat_posts=True)

    def _translate_exception(self, request_exception: requests.RequestException, url: str) -> NoReturn:
        raise describe(request_exception, "answer", self._access) from request_exception

    def stream(self, endpoint: str, target: Path) -> None:
        """Write an answer to a file as it arrives."""
        with (
            pacs_errors("send a whole series", self._access),
            self.get(endpoint, stream=True) as response,
            target.open("wb") as file,
        ):
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)


class OrthancStore:
    """Series in an Orthanc; ids are SeriesInstanceUIDs.

    Safe between threads. The list lives in memory; each call asks `/changes` for what is new, at most once a second.
    Lock order: the list's lock alone; nothing is downloaded while it is held.
    """

    name = "orthanc"

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client = _Client(access)
        key = hashlib.sha256(access.url.rstrip("/").encode()).hexdigest()[:16]
        self._cache = SeriesCache(
            access.settings.cache_dir / f"orthanc-{key}", limit_gib=access.settings.cache_limit_gib
        )
        self._index = SeriesIndex(self._client)

    def list_images(self) -> list[ImageRecord]:
        """All series that hold images, ordered by UID."""
        with self._errors("list its series"):
            return self._index.images()

    def record(self, image_id: str) -> ImageRecord:
        """What Orthanc says about one series."""
        check_id(image_id)
        with self._errors("describe a series"):
            return self._index.find(image_id)[1]

    def fetch(self, image_id: str) -> Path:
        """A folder with the series' instances exactly as they were stored, in any transfer syntax."""
        check_id(image_id)
        with self._errors("send a series"):
            orthanc_id, _ = self._index.find(image_id)
            instances = self._instances(orthanc_id, image_id)
            revision = hashlib.sha256("".join(sorted(instances)).encode()).hexdigest()

            def fill(folder: Path) -> int:
                self._download(orthanc_id, folder)
                return len(instances)

            return self._cache.get(image_id, revision=revision, fill=fill)

    def add_image(self, path: Path, image_id: str | None = None) -> str:
        """Upload one series from a DICOM file, folder or zip; where that fails, what came of it is taken back.

        Raises:
            InvalidInputError: If a file is damaged; half a series would be drafted on like a whole one.
        """
        with opened(path, self._access.settings) as source:
            series = one_image_series(source, image_id=image_id)
            added: list[str] = []
            try:
                for file in series.files:
                    added += self._upload(file.read_bytes(), name=file.resolve().name)
            except CarinaError:
                with suppress(PacsError), self._errors("take an instance back"):
                    self._client.instances.delete(orthanc_ids=added, ignore_errors=True)
                raise
            finally:
                self._index.expire()
        return series.series_instance_uid

    def remove_image(self, image_id: str) -> None:
        """Delete a series from Orthanc and from the cache."""
        check_id(image_id)
        with self._errors("delete a series"):
            orthanc_id, _ = self._index.find(image_id)
            self._client.series.delete(orthanc_id, ignore_errors=True)
        self._index.expire()
        self._cache.remove(image_id)

    def store_instance(self, dataset: Dataset) -> None:
        """Upload one DICOM object; Orthanc keeps the first of one SOPInstanceUID."""
        buffer = BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
        self._upload(buffer.getvalue(), name=str(dataset.SOPInstanceUID))

    def fetch_instance(self, sop_instance_uid: str) -> Dataset:
        """One DICOM object as it was stored."""
        check_id(sop_instance_uid, what="A SOPInstanceUID")
        with self._errors("send an instance"):
            found = self._client.lookup(sop_instance_uid, "Instance")
            if not found:
                raise UnknownImageError(f"Instance {sop_instance_uid} is not in the PACS.")
            content = self._client.get_binary(f"instances/{found[0]}/file")
        try:
            return dcmread(BytesIO(content))
        except InvalidDicomError as error:
            raise PacsError("The PACS must send DICOM, and sent something else. Its log says why.") from error

    def dicomweb(self) -> Access | None:
        """Where Orthanc's DICOMweb plugin answers unless it was configured otherwise."""
        return replace(self._access, url=f"{self._access.url.rstrip('/')}/dicom-web")

    def has_instance(self, sop_instance_uid: str) -> bool:
        """Whether Orthanc has the object."""
        check_id(sop_instance_uid, what="A SOPInstanceUID")
        with self._errors("look an instance up"):
            return bool(self._client.lookup(sop_instance_uid, "Instance"))

    def find_documents(self, modality: DocumentKind, study_instance_uid: str | None = None) -> list[str]:
        """Objects by their SOPInstanceUID."""
        wanted = {"StudyInstanceUID": check_id(study_instance_uid, what="A UID")} if study_instance_uid else {}
        query = {"Level": "Instance", "Expand": True, "Query": {"Modality": modality, **wanted}}
        with self._errors("find its results"):
            found = self._client.post("tools/find", json=query).json()
            return sorted(str(instance["MainDicomTags"]["SOPInstanceUID"]) for instance in found)

    def kept(self, image_id: str) -> Path | None:
        """The cached series, if there is one."""
        return self._cache.find(image_id)

    def status(self) -> dict[str, object]:
        """Orthanc's version, and how many images it holds."""
        state: dict[str, object] = {"name": self.name, "location": self._access.url, "reachable": False}
        try:
            with self._errors("say its version"):
                version = self._client.get_system()["Version"]
                plugins = self._client.get_json("plugins")
            images = len(self.list_images())
        except PacsError as error:
            return {**state, "error": str(error)}
        return {**state, "reachable": True, "version": version, "images": images, "dicomweb": "dicom-web" in plugins}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _instances(self, orthanc_id: str, image_id: str) -> list[str]:
        try:
            return list(self._client.series.get_json(orthanc_id)["Instances"])
        except orthanc_errors.ResourceNotFound as error:
            self._index.expire()
            raise unknown_image(image_id) from error

    def _download(self, orthanc_id: str, folder: Path) -> None:
        archive = folder.parent / "archive.zip"
        self._client.stream(f"series/{quote(orthanc_id)}/archive", archive)
        limit = self._access.settings.unpacked_limit_mib << 20
        try:
            unpack_zip(archive, folder, limits=ArchiveLimits(total_bytes=limit, files=1_000_000, ratio=2000.0))
        except ArchiveError as error:
            raise PacsError("The PACS must send a whole series, and its archive is cut off or damaged.") from error
        archive.unlink()

    def _upload(self, content: bytes, *, name: str) -> list[str]:
        """Orthanc's own id of the instance; none if it was there already."""
        with self._errors("store an instance"):
            try:
                answer = self._client.post("instances", data=content).json()
            except orthanc_errors.Conflict:
                answer = {"Status": "AlreadyStored"}
            except orthanc_errors.HttpError as error:
                if error.http_status_code == requests.codes.bad_request:
                    raise InvalidInputError(
                        f"An instance must be whole DICOM, and the PACS refused '{name}'. Export the series again."
                    ) from error
                raise
        if answer.get("Status") not in ("Success", "AlreadyStored"):
            raise PacsError(f"The PACS must store an instance, but answered {answer.get('Status')!r}.")
        return [answer["ID"]] if answer["Status"] == "Success" else []

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except orthanc_errors.HttpError as error:
            raise describe_status(error.http_status_code, doing, self._access) from error
        except (orthanc_errors.OrthancApiException, requests.JSONDecodeError, KeyError, TypeError) as error:
            raise PacsError(f"{self._access.url} must answer as an Orthanc does. Check the address.") from error


ADAPTER = Adapter(name="orthanc", open=OrthancStore)
