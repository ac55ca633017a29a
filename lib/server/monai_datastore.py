"""carina's images and annotations as a MONAI Label `Datastore`, for monailabel's own tools."""

from __future__ import annotations

import json
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from ..annotations.annotation import Annotation
from ..datastores.ids import check_id
from ..errors import UnknownLabelError
from .catalogue import (
    dataset_archive,
    find_annotation,
    flat_label_file,
    image_as_file,
    image_details,
    label_details,
    latest_labels,
    listing,
)
from .info import datastore_status
from .services import Services
from .submissions import submit

_FINAL = "final"


class CarinaDatastore(Datastore):
    """A view; it keeps nothing itself. Safe for threads, as what it shows is.

    Args:
        services: Whose images and annotations.
        folder: Where files made for a caller go, such as NIfTI of a DICOM series; the caller's to empty.
    """

    def __init__(self, services: Services, folder: Path) -> None:
        self._services = services
        self._folder = folder

    def name(self) -> str:
        """The image store's."""
        return self._services.store.name

    def set_name(self, name: str) -> None:
        """Does nothing: the store's name is fixed."""

    def description(self) -> str:
        """Where the images are."""
        return str(self._services.store.status().get("location", ""))

    def set_description(self, description: str) -> None:
        """Does nothing: the description is fixed."""

    def datalist(self) -> list[dict[str, Any]]:
        """Image and label files of every image with a final label."""
        return [
            {
                "image": self.get_image_uri(image_id),
                "label": self._label_file(labels[_FINAL]),
            }
            for image_id, labels in latest_labels(self._services).items()
            if _FINAL in labels
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tag → newest annotation id."""
        return {tag: found.id for tag, found in latest_labels(self._services).get(image_id, {}).items()}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Newest annotation id with a tag; empty if there is none, as monailabel expects."""
        try:
            return self._services.annotations.latest(image_id, tag=tag).id
        except UnknownLabelError:
            return ""

    def get_image(self, image_id: str, params: Any = None) -> BytesIO:
        """The image file's bytes."""
        return BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """The image as one local file."""
        made = self._folder / f"{check_id(image_id)}.nii.gz"
        if made.is_file():
            return str(made)
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(image_as_file(self._services, image_id, self._folder))

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> BytesIO:
        """The label file's bytes."""
        return BytesIO(Path(self.get_label_uri(label_id, label_tag)).read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The label file."""
        return self._label_file(find_annotation(self._services, label_id, label_tag))

    def _label_file(self, annotation: Annotation) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(flat_label_file(self._services, annotation, self._folder))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image."""
        return image_details(self._services, image_id)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """What is known of a label."""
        return label_details(self._services, find_annotation(self._services, label_id, label_tag))

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images with a label of a tag (`final` by default) that names all of `labels`."""
        wanted = set(labels or ())
        found = latest_labels(self._services)
        tag = label_tag or _FINAL
        return sorted(image for image, tags in found.items() if tag in tags and wanted <= set(tags[tag].names))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The other images' ids."""
        labelled = set(self.get_labeled_images(label_tag, labels))
        return [image for image in self.list_images() if image not in labelled]

    def list_images(self) -> list[str]:
        """All image ids."""
        return [record.image_id for record in self._services.store.list_images()]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A zip of all labelled images with their final labels."""
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        return str(dataset_archive(self._services, folder, limit_cases=limit_cases))

    def refresh(self) -> None:
        """Does nothing: the list is never old."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image; a PACS gives it its own id."""
        added = self._services.store.add_image(Path(image_filename), image_id or None)
        if image_info:
            self._services.annotations.update_image_info(added, image_info)
        return added

    def remove_image(self, image_id: str) -> None:
        """Remove an image, where the store allows it."""
        self._services.store.remove_image(check_id(image_id))

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Store a label as a new version; its id."""
        saved = submit(
            self._services, image=image_id, label_file=Path(label_filename), params=label_info, tag=label_tag
        )
        return saved.id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Withdraw a label; nothing is deleted."""
        annotation = find_annotation(self._services, label_id, label_tag)
        self._services.annotations.withdraw(annotation.id, reason="removed through monailabel")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add notes to an image."""
        self._services.annotations.update_image_info(check_id(image_id), info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add notes to a label."""
        annotation = find_annotation(self._services, label_id, label_tag)
        self._services.annotations.update_label_info(annotation.id, info)

    def status(self) -> dict[str, Any]:
        """How many images there are, and how many labels of each tag."""
        return datastore_status(self._services)

    def json(self) -> str:
        """Everything, as text."""
        return json.dumps(listing(self._services))
