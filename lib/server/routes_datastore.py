"""Images and labels: `/datastore`, as MONAI Label's clients call it."""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from ..annotations.submit import SERVERS_NOTES
from ..annotations.worklist import OFFERED
from ..datastores.ids import check_id
from ..errors import InvalidInputError, NotFoundError
from .catalogue import (
    dataset_archive,
    find_annotation,
    flat_label_file,
    image_as_file,
    image_details,
    label_details,
    listing,
    told,
)
from .info import datastore_status
from .inputs import json_object, refuse_reserved
from .local_images import receive_image
from .responses import file_response, media_type
from .services import Services
from .submissions import submit, submit_told
from .uploads import base_name, holding_folder, save, suffix_of, temporary_folder
from .wiring import ServicesOf, SlowLaneOf

router = APIRouter(prefix="/datastore", tags=["Datastore"])
_FINAL = "final"
_INFO_LIMIT = 64 * 1024
_RENAME = "Rename the volume or the file and send it again."


@router.get("")
def datastore(services: ServicesOf, output: str = "stats") -> Any:
    """Counts (`stats`), everything (`all`), or the pairs a training would use (`train`), by their ids."""
    if output == "all":
        return listing(services)
    if output == "train":
        newest = {version.image_id: version.id for version in services.annotations.for_training(_FINAL)}
        return [{"image": image, "label": newest[image]} for image in sorted(newest)]
    if output == "stats":
        return datastore_status(services)
    raise InvalidInputError(f"Output must be stats, all or train, got '{output[:32]}'.")


@router.put("", include_in_schema=False)
@router.put("/image")
def add_image(
    services: ServicesOf,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
) -> dict[str, str]:
    """Add an image: a file, or a zip of one DICOM series."""
    refuse_reserved(json_object(params))
    wanted = check_id(image, what="A new image's name", advice=_RENAME) if image else None
    with temporary_folder(services.settings) as folder:
        received = receive_image(services.settings, [file], folder)
        if wanted is None and received.is_file():
            stem = base_name(file.filename)[: -len(suffix_of(file.filename))]
            wanted = check_id(stem, what="A file name", advice=_RENAME)
        return {"image": services.store.add_image(received, wanted)}


@router.delete("", include_in_schema=False)
@router.delete("/image")
def remove_image(services: ServicesOf, image_id: Annotated[str, Query(alias="id")]) -> dict[str, Any]:
    """Remove an image, where the store allows it; its labels are kept."""
    services.store.remove_image(check_id(image_id))
    return {}


@router.head("/image")
async def check_image(
    services: ServicesOf, slow_lane: SlowLaneOf, image: str, check_sum: str | None = None
) -> Response:
    """Whether an image is there, and is the file a client has."""
    await run_in_threadpool(services.store.record, check_id(image))
    if check_sum:
        await slow_lane.run(lambda: _compare_image(services, image, check_sum))
    return Response()


@router.get("/image")
async def download_image(services: ServicesOf, slow_lane: SlowLaneOf, image: str) -> FileResponse:
    """An image as one file; a DICOM series comes as NIfTI."""
    check_id(image)
    return await slow_lane.run(lambda: _made(services, lambda folder: image_as_file(services, image, folder)))


@router.get("/image/info")
def image_info(services: ServicesOf, image: str) -> dict[str, Any]:
    """What is known of an image."""
    return image_details(services, image)


@router.put("/image/info")
def update_image_info(
    services: ServicesOf, image: str, info: Annotated[str, Form(max_length=_INFO_LIMIT)] = "{}"
) -> dict[str, Any]:
    """Add notes to an image."""
    services.store.record(check_id(image))
    changes = json_object(info, "info")
    if any(key.startswith(("draft:", "score:")) or key == OFFERED for key in changes):
        raise InvalidInputError(
            f"Notes of the names 'draft:…', 'score:…' and '{OFFERED}' must be the server's own. Choose another name."
        )
    services.annotations.update_image_info(image, changes)
    return image_details(services, image)


@router.put("/label")
def save_label(
    services: ServicesOf,
    image: str,
    label: Annotated[UploadFile | None, File()] = None,
    tag: str = _FINAL,
    params: Annotated[str, Form()] = "{}",
) -> dict[str, Any]:
    """Store a label as a new version of its image's and bring it to the PACS.

    Of a task of whole images the label is JSON, `{"findings": {"covid19": true}}`, as the file or within `params`.
    """
    options = json_object(params)
    refuse_reserved(options)
    check_id(image)
    check_id(tag or _FINAL, what="A tag")
    if label is None or (label.filename or "").endswith(".json"):
        said = options if label is None else json_object(_text_of(label), "label")
        annotation = submit_told(
            services, image=image, findings=said.get("findings"), params=options, tag=tag or _FINAL
        )
        return {"image": image, "label": annotation.id}
    with temporary_folder(services.settings) as folder:
        file = save(label.file, folder / f"label{suffix_of(label.filename)}")
        annotation = submit(services, image=image, label_file=file, params=options, tag=tag or _FINAL)
    return {"image": image, "label": annotation.id}


@router.delete("/label")
def remove_label(services: ServicesOf, label: Annotated[str, Query(alias="id")], tag: str) -> dict[str, Any]:
    """Withdraw a label: the version before it counts again; nothing is deleted."""
    services.annotations.withdraw(find_annotation(services, label, tag).id, reason="removed by a client")
    return {}


@router.head("/label")
def check_label(services: ServicesOf, image: str, tag: str) -> Response:
    """Whether an image has a label with a tag."""
    find_annotation(services, image, tag)
    return Response()


@router.get("/label")
def download_label(services: ServicesOf, label: str, tag: str) -> Response:
    """A label map, by its own id or its image's; a voxel of several labels has the one with the highest value."""
    annotation = find_annotation(services, label, tag)
    if annotation.answers:
        return JSONResponse(told(annotation))
    with temporary_folder(services.settings) as folder:
        content = flat_label_file(services, annotation, folder).read_bytes()
    return file_response(f"{annotation.id}.nii.gz", content)


@router.get("/label/info")
def label_info(services: ServicesOf, label: str, tag: str) -> dict[str, Any]:
    """What is known of a label, its delivery included."""
    return label_details(services, find_annotation(services, label, tag))


@router.put("/label/info")
def update_label_info(
    services: ServicesOf, label: str, tag: str, info: Annotated[str, Form(max_length=_INFO_LIMIT)] = "{}"
) -> dict[str, Any]:
    """Add notes to a label."""
    return _note_on_label(services, label, tag, json_object(info, "info"))


@router.put("/updatelabelinfo", include_in_schema=False)
def update_label_info_old(
    services: ServicesOf, label: str, tag: str, params: Annotated[str, Form(max_length=_INFO_LIMIT)] = "{}"
) -> dict[str, Any]:
    """The older address of the same."""
    return _note_on_label(services, label, tag, json_object(params))


@router.get("/dataset")
async def dataset(
    services: ServicesOf, slow_lane: SlowLaneOf, limit_cases: Annotated[int | None, Query(ge=1)] = None
) -> FileResponse:
    """A zip of all labelled images with their final labels."""
    return await slow_lane.run(
        lambda: _made(services, lambda folder: dataset_archive(services, folder, limit_cases=limit_cases))
    )


def _made(services: Services, make: Callable[[Path], Path]) -> FileResponse:
    """A file made in a folder that goes when it has been sent."""
    folder, removal = holding_folder(services.settings)
    try:
        path = make(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(path, media_type=media_type(path.name), filename=path.name, background=removal)


def _note_on_label(services: Services, label: str, tag: str, changes: dict[str, Any]) -> dict[str, Any]:
    for name in SERVERS_NOTES:
        if name in changes:
            raise InvalidInputError(f"The note '{name}' must be the server's own. Choose another name.")
    annotation = find_annotation(services, label, tag)
    services.annotations.update_label_info(annotation.id, changes)
    return label_details(services, annotation)


def _compare_image(services: Services, image: str, check_sum: str) -> None:
    with temporary_folder(services.settings) as folder:
        _compare(image_as_file(services, image, folder), check_sum)


def _compare(path: Path, check_sum: str) -> None:
    algorithm, _, digest = check_sum.rpartition(":")
    algorithm = (algorithm or "sha256").lower()
    if algorithm not in ("sha256", "sha512", "md5"):
        raise InvalidInputError("A check sum must be SHA256, SHA512 or MD5. Send it as 'SHA256:<hex>'.")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, algorithm).hexdigest()
    if not hmac.compare_digest(actual.encode(), digest.lower().encode()):
        raise NotFoundError("An image must have the check sum asked for, got another. Download it again.")


def _text_of(upload: UploadFile) -> str:
    try:
        return upload.file.read(_INFO_LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError("A label that is JSON must be UTF-8, got other bytes. Save it again.") from error
