"""One inference request from its address to its answer; the work itself happens in a worker process."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request, UploadFile

from ..datastores.ids import check_id
from ..errors import InvalidInputError
from ..infers.kinds import kind_of
from ..task import TaskSpec
from .info import RESULT_EXTENSIONS
from .inputs import chosen, text_of
from .local_images import receive_image, receive_label
from .services import Services
from .tickets import InferenceResult, Ticket

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.5
_OPTIONS = frozenset({"request_id", "result_extension", "result_dtype", "overlap"})
_DTYPES = ("uint8", "uint16")
OUTPUTS = ("image", "json", "all", "dicom_seg")


def inference_options(params: Mapping[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """The options of an inference a client may set, and the prompts of its kind.

    Raises:
        UnsafeIdError: If a reserved key is set, or the request id is not safe.
        InvalidInputError: If a value is not one of those possible.
    """
    kind = kind_of(spec)
    prompts, keys = kind.prompts(params, spec), kind.prompt_keys(spec)
    own = {option.name: option for option in kind.options}
    rest = {key: value for key, value in params.items() if key not in keys}
    options = {**chosen(rest, _OPTIONS | set(own) | set(spec.config)), **prompts}
    for name in own.keys() & options.keys():
        options[name] = own[name].parse(options[name])
    extension = options.get("result_extension")
    if isinstance(extension, list):  # Slicer sends a choice it did not touch as the whole list
        extension = options["result_extension"] = extension[0] if extension else None
    if extension not in (None, *RESULT_EXTENSIONS):
        raise InvalidInputError(f"Parameter 'result_extension' must be one of {', '.join(RESULT_EXTENSIONS)}.")
    if options.get("result_dtype") not in (None, *_DTYPES):
        raise InvalidInputError(f"Parameter 'result_dtype' must be one of {', '.join(_DTYPES)}.")
    version = text_of(options, "model_version")
    if version is not None:
        check_id(version, what="A model version")
    options["request_id"] = check_id(text_of(options, "request_id") or uuid.uuid4().hex, what="A request id")
    return options


def result_suffix(options: Mapping[str, Any], output: str) -> str:
    """Suffix of the result's file; `.dcm` stands for a DICOM SEG."""
    return ".dcm" if output == "dicom_seg" else str(options.get("result_extension") or RESULT_EXTENSIONS[0])


def locate_image(services: Services, folder: Path, *, image: str, session_id: str, file: UploadFile | None) -> Path:
    """The image a request is about, as a complete local file or DICOM folder. Blocks.

    A file sent along comes first, then the session, then the datastore's image.

    Raises:
        InvalidInputError: If none is named.
        NotFoundError: If it does not exist.
    """
    if file is not None:
        return receive_image(services.settings, [file], folder)
    if session_id:
        return services.sessions.get(session_id, touch=True).path
    if image:
        return services.store.fetch(check_id(image, what="An image id"))
    raise InvalidInputError("An inference must name an image, a session or send a file, got none of them.")


def keep_label(spec: TaskSpec, label: UploadFile | None, folder: Path) -> Path | None:
    """The label map a client sent along, as a file of the server's, if it sent one. Blocks.

    Raises:
        InvalidInputError: If the task's kind takes none, or it is no label map.
    """
    if label is None:
        return None
    if not kind_of(spec).takes_label:
        raise InvalidInputError(f"Task '{spec.name}' must be given an image only, got a label as well. Leave it out.")
    return receive_label(label, folder)


async def finished(request: Request, services: Services, ticket: Ticket) -> InferenceResult:
    """Wait for a result without holding up anything else; cancel it when its client has gone.

    Raises:
        CarinaError: What the inference raised.
    """
    future = asyncio.wrap_future(ticket.future)
    try:
        while not (await asyncio.wait({future}, timeout=_LOOK_S))[0]:
            if await request.is_disconnected():
                _LOG.info("client of inference %s has gone", ticket.request.request_id)
                services.pool.cancel(ticket.request.request_id)
                break
        return await future
    except asyncio.CancelledError:
        services.pool.cancel(ticket.request.request_id)
        raise
