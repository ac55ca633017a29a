"""Uploads: streamed to disk, limited in size, named by us and removed whatever happens."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

import psutil
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InvalidInputError, TooLargeError
from ..settings import Settings

_CHUNK = 1 << 20
_SUFFIXES = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".dcm", ".zip")


class BodyLimit:
    """ASGI middleware that ends a request whose body grows over the limit, announced or not.

    Args:
        app: What it wraps.
        limit_bytes: Largest accepted body.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(announced) if announced.isdigit() else 0
        over = received > self._limit
        received = 0

        async def limited() -> Message:
            nonlocal received
            if over:
                raise self._refusal()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise self._refusal()
            return message

        await self._app(scope, limited, send)

    def _refusal(self) -> HTTPException:
        # Starlette's own exception passes through FastAPI's form parsing, which turns every other one into a 400.
        return HTTPException(TooLargeError.http_status, _too_large(self._limit))


def _too_large(limit_bytes: int) -> str:
    return f"An upload must not be larger than {limit_bytes >> 20} MiB, got more. Raise CARINA_UPLOAD_LIMIT_MIB."


def temporary_root(settings: Settings) -> Path:
    """Where requests keep their files."""
    return settings.home / "tmp"


def clear_temporary(settings: Settings) -> None:
    """Remove what servers that were killed left behind; the files of another one that runs stay."""
    for folder in temporary_root(settings).glob("*"):
        owner = folder.name.partition("-")[0]
        alive = owner.isdecimal() and int(owner) != os.getpid() and psutil.pid_exists(int(owner))
        if not alive:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder(settings: Settings) -> Iterator[Path]:
    """A folder of this request's own, removed at the end."""
    folder = _new_folder(settings)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def holding_folder(settings: Settings) -> tuple[Path, BackgroundTask]:
    """A folder that outlives its request by one answer, and the task that removes it once the answer is sent."""
    folder = _new_folder(settings)
    return folder, BackgroundTask(shutil.rmtree, folder, ignore_errors=True)


def _new_folder(settings: Settings) -> Path:
    """Named after the process, so that the start of another one leaves it alone."""
    root = temporary_root(settings)
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=root, prefix=f"{os.getpid()}-"))


def suffix_of(file_name: str | None) -> str:
    """The known suffix of a client's file name; one without any is taken for DICOM.

    Raises:
        InvalidInputError: If the suffix is of no format carina reads.
    """
    name = base_name(file_name).lower()
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return suffix
    tail = PurePosixPath(name).suffix
    if not tail or tail[1:].isdigit():
        return ".dcm"
    raise InvalidInputError(f"A file must end in one of {', '.join(_SUFFIXES)}, got '{tail[:16]}'.")


def base_name(file_name: str | None) -> str:
    """The last part of a client's file name, whichever slashes it uses."""
    return PureWindowsPath(PurePosixPath(file_name or "").name).name


def save(source: IO[bytes], target: Path) -> Path:
    """Copy an upload to `target`, chunk by chunk.

    Raises:
        InvalidInputError: If it is empty.
    """
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    if target.stat().st_size == 0:
        raise InvalidInputError("An uploaded file must not be empty. Send it again.")
    return target
