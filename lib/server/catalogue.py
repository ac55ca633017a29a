"""Images and labels in the words of MONAI Label's datastore."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..annotations.annotation import Annotation
from ..annotations.drafts import without_drafts
from ..annotations.voxel_values import are_bits, recode, unnamed_values
from ..datastores.ids import check_id
from ..datastores.port import read_local
from ..errors import UnknownImageError, UnknownLabelError
from ..geometry import Volume
from ..image_formats import split_suffix
from ..images import write_image, write_label
from .services import Services


def image_details(services: Services, image_id: str) -> dict[str, Any]:
    """What clients may know of an image: how to show it, and the notes on it.

    `path` stays empty: clients on another machine cannot use it, and `GET /datastore/image` works for all.
    """
    record = services.store.record(check_id(image_id))
    return {
        **without_drafts(services.annotations.image_info(image_id)),
        "name": f"{image_id}.nii.gz",
        "path": "",
        "Modality": record.modality,
        "StudyInstanceUID": record.study_instance_uid,
        "SeriesInstanceUID": image_id if record.study_instance_uid else None,
        "PatientID": record.patient_id,
        "SeriesDescription": record.description,
        "instances": record.instances,
    }


def find_annotation(services: Services, label: str, tag: str) -> Annotation:
    """The annotation of an id; of an image's id, its newest with the tag.

    Raises:
        UnsafeIdError: If id or tag is not safe.
        UnknownLabelError: If there is none.
    """
    check_id(label, what="A label id")
    check_id(tag, what="A tag")
    try:
        found = services.annotations.get(label)
    except UnknownLabelError:
        return services.annotations.latest(label, tag=tag)
    if found.tag != tag or found.withdrawn:
        raise UnknownLabelError(f"Label '{label}' must be in use and tagged '{tag}'. Ask for the datastore's list.")
    return found


def label_details(services: Services, annotation: Annotation) -> dict[str, Any]:
    """One stored version as JSON."""
    details: dict[str, Any] = {
        "id": annotation.id,
        "image": annotation.image_id,
        "task": annotation.task,
        "tag": annotation.tag,
        "user": annotation.user,
        "parent": annotation.parent,
        "model_version": annotation.model_version,
        "origin": annotation.origin,
        "created": annotation.created.isoformat(),
        "ts": int(annotation.created.timestamp()),
        "labels": dict(annotation.names),
        "findings": dict(annotation.findings),
        "unsure": list(annotation.unsure),
        "voxels_changed": annotation.voxels_changed,
        "time_spent_s": annotation.time_spent_s,
        "sources": list(annotation.sources),
        "withdrawn": annotation.withdrawn,
        "name": f"{annotation.id}.nii.gz",
    }
    try:
        delivery = services.annotations.deliveries.get(annotation.id)
    except UnknownLabelError:
        return {**services.annotations.label_info(annotation.id), **details}
    details["delivery"] = {
        "state": delivery.state,
        "document": delivery.document,
        "sop_instance_uid": delivery.sop_instance_uid,
        "series_instance_uid": delivery.series_instance_uid,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
    }
    return {**services.annotations.label_info(annotation.id), **details}


def latest_labels(services: Services) -> dict[str, dict[str, Annotation]]:
    """Image id → tag → newest version in use, of the tags clients know."""
    found: dict[str, dict[str, Annotation]] = {}
    for tag in services.known_tags():
        for annotation in services.annotations.labelled(tag):
            found.setdefault(annotation.image_id, {})[tag] = annotation
    return found


def listing(services: Services) -> dict[str, Any]:
    """The whole datastore, in the form of MONAI Label's own."""
    labels = latest_labels(services)
    objects = {
        record.image_id: {
            "image": {"ext": ".nii.gz", "info": {"name": f"{record.image_id}.nii.gz", "Modality": record.modality}},
            "labels": {
                tag: {"ext": ".nii.gz", "info": _listed(version)}
                for tag, version in labels.get(record.image_id, {}).items()
            },
        }
        for record in services.store.list_images()
    }
    return {"name": services.store.name, "description": "", "images_dir": "", "labels_dir": "", "objects": objects}


def _listed(version: Annotation) -> dict[str, Any]:
    return {
        "id": version.id,
        "ts": int(version.created.timestamp()),
        "params": {"label_names": without_gaps(version.names)},
    }


def without_gaps(names: Mapping[str, int]) -> dict[str, int]:
    """Names in the order of their voxel values, with a stand-in for every value that has none.

    Slicer takes the n-th name for voxel value n, whatever the number beside it says.
    """
    by_value = {value: name for name, value in names.items()}
    return {by_value.get(value, f"unused_{value}"): value for value in range(1, max(by_value, default=0) + 1)}


def image_as_file(services: Services, image_id: str, folder: Path) -> Path:
    """One file that holds an image: as it lies in a folder store, or a DICOM series as NIfTI. Blocks.

    Args:
        services: The server's parts.
        image_id: Of the datastore.
        folder: Where a file that has to be made goes.

    Raises:
        UnknownImageError: If there is no such image.
    """
    source = services.store.fetch(check_id(image_id))
    if source.is_file() and split_suffix(source.name)[1]:
        return source
    volume, _ = read_local(source)
    target = folder / f"{image_id}.nii.gz"
    write_image(target, volume)
    return target


def flat_label_file(services: Services, annotation: Annotation, folder: Path) -> Path:
    """A label map for clients, which know one label per voxel: as stored, or where labels overlap the highest value.

    Args:
        services: The server's parts.
        annotation: Not of findings.
        folder: Where a file that has to be made goes.

    Raises:
        StorageError: If the label file is gone or was changed.
    """
    if not are_bits(annotation.names):
        return services.annotations.label_path(annotation)
    label, names = services.annotations.read(annotation)
    if not unnamed_values(label.array, names, sums=False):
        return services.annotations.label_path(annotation)
    target = folder / f"{annotation.id}.nii.gz"
    write_label(target, Volume(recode(label.array, names, names), label.grid))
    return target


def told(annotation: Annotation) -> dict[str, Any]:
    """What a version of findings says, as a client sends it."""
    return {"findings": annotation.answers}


def dataset_archive(services: Services, folder: Path, *, limit_cases: int | None) -> Path:
    """A zip of every image with a final label: `<id>.nii.gz`, `labels/final/<id>.nii.gz`, of findings `.json`. Blocks.

    Images that the store does not list at the moment are left out.

    Raises:
        UnknownImageError: If no image has a label.
    """
    content = folder / "dataset"
    names = content / "labels" / "final"
    names.mkdir(parents=True)
    listed = {record.image_id for record in services.store.list_images()}
    labelled = [image_id for image_id in services.annotations.labelled_images("final") if image_id in listed]
    if not labelled:
        raise UnknownImageError("A dataset must have a labelled image, got none. Submit a label first.")
    for image_id in labelled[: limit_cases or None]:
        image = image_as_file(services, image_id, content)
        if image.parent != content:
            shutil.copyfile(image, content / f"{image_id}{split_suffix(image.name)[1]}")
        annotation = services.annotations.latest(image_id, tag="final")
        if annotation.answers:
            (names / f"{image_id}.json").write_text(json.dumps(told(annotation)))
        else:
            shutil.copyfile(flat_label_file(services, annotation, folder), names / f"{image_id}.nii.gz")
    return Path(shutil.make_archive(str(folder / "dataset"), "zip", content))
