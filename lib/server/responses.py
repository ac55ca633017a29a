"""Answers: one mapping of errors to HTTP, and the multipart form MONAI Label's clients parse."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..errors import CarinaError, is_full, storage_error

_LOG = logging.getLogger(__name__)

_MEDIA_TYPES = {
    ".nii.gz": "application/gzip",
    ".nii": "application/octet-stream",
    ".nrrd": "application/octet-stream",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".dcm": "application/dicom",
    ".zip": "application/zip",
    ".safetensors": "application/octet-stream",
}


def error_response(status: int, detail: str, error: str) -> JSONResponse:
    """The one form of an error: `{"detail": words, "error": class name}`."""
    return JSONResponse({"detail": detail, "error": error}, status_code=status)


def install_error_handlers(app: FastAPI) -> None:
    """Map every exception to its answer, once for all routes."""

    @app.exception_handler(CarinaError)
    async def ours(request: Request, error: CarinaError) -> JSONResponse:
        if error.http_status >= 500:
            _LOG.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
        return error_response(error.http_status, str(error), type(error).__name__)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return error_response(error.status_code, str(error.detail), "HTTPException")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
        )
        return error_response(422, f"The request must fit its route, got {problems}.", "InvalidInputError")

    @app.exception_handler(OSError)
    async def system(request: Request, error: OSError) -> JSONResponse:
        # Wherever a request notices the full disk first, such as in its upload, the answer is the same.
        if is_full(error):
            return await ours(request, storage_error(error))
        return await unknown(request, error)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        incident = uuid.uuid4().hex[:12]
        _LOG.error("incident %s: %s %s", incident, request.method, request.url.path, exc_info=error)
        return error_response(500, f"The server failed. Its log has the details under incident {incident}.", "Error")


def media_type(name: str) -> str:
    """Content type by file name."""
    for suffix, kind in _MEDIA_TYPES.items():
        if name.endswith(suffix):
            return kind
    return "application/octet-stream"


def multipart_response(params: Mapping[str, Any], file_name: str, content: bytes) -> Response:
    """A `multipart/form-data` answer: part `params` (JSON) and part `image` (the file).

    Clients parse it with `cgi.FieldStorage`, which needs a Content-Length and a file name in the second part only.
    """
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(params)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file_name}"\r\n'
        f"Content-Type: {media_type(file_name)}\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")


def file_response(file_name: str, content: bytes) -> Response:
    """A download held in memory, so that its file can be removed before the answer leaves."""
    return Response(
        content,
        media_type=media_type(file_name),
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def full_suffix(path: Path) -> str:
    """`.nii.gz` for `x.nii.gz`, `.dcm` for `x.dcm`."""
    return ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
