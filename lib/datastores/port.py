"""The port to images: what every datastore does, how one is opened, and how an image is read from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from pydicom import Dataset

from ..dicom.provenance import DocumentKind
from ..errors import ConfigurationError
from ..geometry import Volume
from ..image_formats import split_suffix
from ..images import read_volume
from ..registry import Registry, find
from ..settings import Settings

if TYPE_CHECKING:
    from ..dicom.series import Series

# Modalities (PS3.3 C.7.3.1.1.1) whose series hold no image that a task could draft on.
NON_IMAGE_MODALITIES = frozenset(
    {
        "ANN",
        "AU",
        "DOC",
        "ECG",
        "EEG",
        "EMG",
        "EOG",
        "EPS",
        "FID",
        "HD",
        "IOL",
        "KER",
        "KO",
        "M3D",
        "PLAN",
        "PR",
        "REG",
        "RESP",
        "RTDOSE",
        "RTINTENT",
        "RTPLAN",
        "RTRAD",
        "RTRECORD",
        "RTSEGANN",
        "RTSTRUCT",
        "RWV",
        "SEG",
        "SMR",
        "SR",
        "STAIN",
        "TEXTUREMAP",
    }
)


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One image of a datastore, as far as a list tells.

    Attributes:
        image_id: The SeriesInstanceUID in a PACS; a relative name without its suffix in a folder.
        patient_id: DICOM's PatientID, or a folder's `cases.csv`; splits go by it.
        modality: DICOM modality; empty for files that are not DICOM.
        study_instance_uid: Empty for files that are not DICOM.
        description: Series description.
        instances: How many DICOM instances there are; 1 for other files; 0 if the PACS does not say.
        body_part: DICOM's BodyPartExamined.
    """

    image_id: str
    patient_id: str
    modality: str = ""
    study_instance_uid: str = ""
    description: str = ""
    instances: int = 1
    body_part: str = ""


class ImageStore(Protocol):
    """A place that holds images. Every method may be called from several threads."""

    name: str

    def list_images(self) -> list[ImageRecord]:
        """All images, ordered by id; at most a few seconds old, and cheap to call.

        Raises:
            PacsError: If the PACS cannot be asked.
        """
        ...

    def record(self, image_id: str) -> ImageRecord:
        """What the list says about one image.

        Raises:
            UnknownImageError: If there is no such image.
            UnsafeIdError: If the id could not be one.
        """
        ...

    def fetch(self, image_id: str) -> Path:
        """The complete image as a local file or folder of DICOM files, for reading only.

        Raises:
            UnknownImageError: If there is no such image.
            PacsError: If it could not be fetched completely.
            StorageError: If the disk is full.
        """
        ...

    def add_image(self, path: Path, image_id: str | None = None) -> str:
        """Add one image: a DICOM file, a folder or zip of one DICOM series, or another image file.

        Args:
            path: What to add; it is copied.
            image_id: The wanted id; a PACS takes only the SeriesInstanceUID itself.

        Returns:
            The image's id.

        Raises:
            InvalidInputError: If it is no image, or not exactly one; nothing is stored then.
        """
        ...

    def remove_image(self, image_id: str) -> None:
        """Remove an image for good.

        Raises:
            UnknownImageError: If there is no such image.
            PacsError: If the PACS does not allow it.
        """
        ...

    def store_instance(self, dataset: Dataset) -> None:
        """Keep one DICOM object that is no image, such as a SEG. Storing it again changes nothing.

        Raises:
            PacsError: If the PACS refused it or cannot be reached.
        """
        ...

    def fetch_instance(self, sop_instance_uid: str) -> Dataset:
        """One DICOM object by its SOPInstanceUID.

        Raises:
            UnknownImageError: If there is no such object.
        """
        ...

    def dicomweb(self) -> Access | None:
        """The DICOMweb root (PS3.18) of the same images, for a viewer; None where there is none."""
        ...

    def has_instance(self, sop_instance_uid: str) -> bool:
        """Whether an object of that SOPInstanceUID is kept.

        Raises:
            PacsError: If the PACS cannot be asked.
        """
        ...

    def find_documents(self, modality: DocumentKind, study_instance_uid: str | None = None) -> list[str]:
        """SOPInstanceUIDs of all objects of a modality that results have, in order; of one study if it is named.

        Raises:
            PacsError: If the PACS cannot be asked.
        """
        ...

    def kept(self, image_id: str) -> Path | None:
        """A copy of the series that `fetch` made before, whole but maybe out of date; the PACS is not asked.

        Returns:
            None if there is none, or if `fetch` makes no copies.

        Raises:
            UnsafeIdError: If the id could not be one.
        """
        ...

    def status(self) -> dict[str, object]:
        """State for people: at least `name`, `location`, `reachable`; never raises for a PACS that is down."""
        ...

    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""
        ...


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to reach a store.

    Attributes:
        url: Without user, password and the adapter's prefix; or a folder's path.
        settings: Folders, limits and timeouts.
        user: For basic auth, None without.
        password: For basic auth.
        verify_tls: True for the system's authorities, a file or folder of certificates, False to not check.
    """

    url: str
    settings: Settings
    user: str | None = None
    password: str | None = None
    verify_tls: bool | Path = True


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One sort of datastore; a module in this package defines it as `ADAPTER`.

    Attributes:
        name: The prefix of its URLs, as in `orthanc+http://…`.
        open: Makes the store; may connect lazily.
    """

    name: str
    open: Callable[[Access], ImageStore]


def find_adapters() -> Registry[Adapter]:
    """All sorts of datastores: `lib/datastores/*.py` and the entry-point group `carina.datastores`."""
    package = __name__.rpartition(".")[0]
    return find("Datastore", package=package, constant="ADAPTER", item_type=Adapter, group="carina.datastores")


def open_store(
    url_or_path: str | Path,
    *,
    settings: Settings,
    user: str | None = None,
    password: str | None = None,
    verify_tls: bool | Path = True,
) -> ImageStore:
    """Open a datastore.

    Args:
        url_or_path: `orthanc+http(s)://host:port`, `dicomweb+http(s)://host:port/root`, or a folder. A user and
            password in the URL are taken out of it.
        settings: Folders, limits and timeouts.
        user: For basic auth; goes before one in the URL.
        password: For basic auth; goes before one in the URL.
        verify_tls: True, or a file or folder of certificates to trust, or False to not check.

    Raises:
        UnknownNameError: If no adapter has the URL's prefix.
        ConfigurationError: If a URL does not say what sort of server it is, or a folder is not there.
    """
    text = str(url_or_path)
    prefix, plus, rest = text.partition("+")
    if re.match(r"https?://", text):
        raise ConfigurationError(
            f"A server's URL must say its sort, got {_without_login(text)[0]}. "
            "Write orthanc+http://… for Orthanc, or dicomweb+http://… with the DICOMweb root for any other PACS."
        )
    if not (plus and re.match(r"https?://", rest)):
        access = Access(url=text.removeprefix("file://"), settings=settings)
        return find_adapters().get("folder").open(access)
    url, url_user, url_password = _without_login(rest)
    access = Access(
        url=url, settings=settings, user=user or url_user, password=password or url_password, verify_tls=verify_tls
    )
    return find_adapters().get(prefix).open(access)


def read_image(store: ImageStore, image_id: str) -> tuple[Volume, Series | None]:
    """Fetch and read one image; as `read_local` otherwise."""
    return read_local(store.fetch(image_id))


def read_local(path: Path) -> tuple[Volume, Series | None]:
    """Read one image that is a local file or a folder of DICOM files.

    Returns:
        `(X, Y, Z)` and its DICOM series, or None for a file that is not DICOM.

    Raises:
        CarinaError: As `dicom.series.read_series` and `images.read_volume` do.
    """
    if path.is_file() and split_suffix(path.name)[1]:
        return read_volume(path), None
    from ..dicom.series import read_series

    series = read_series(path)
    return series.volume, series


def _without_login(url: str) -> tuple[str, str | None, str | None]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return parts._replace(netloc=host).geturl(), user, password
