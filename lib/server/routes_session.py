"""Sessions: `/session`, for images that are in no PACS."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from ..errors import InvalidInputError
from .local_images import receive_image
from .responses import media_type
from .services import Services
from .uploads import holding_folder
from .wiring import ServicesOf

router = APIRouter(prefix="/session", tags=["Sessions"])
_MOST_FILES = 20_000


@router.put("")
async def create(request: Request, services: ServicesOf, expiry: int = 0) -> dict[str, Any]:
    """Open a session with one image: a file, a zip of a DICOM series, or the series' files."""
    async with request.form(max_files=_MOST_FILES, max_fields=100) as form:
        files = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
        if not files:
            raise InvalidInputError("A session must have an image, got no part named 'files'.")
        fill = partial(_fill, services, files)
        session = await run_in_threadpool(services.sessions.add, fill, expiry_s=max(0, expiry))
    return {"session_id": session.session_id, "session_info": session.describe()}


@router.get("/{session_id}", response_model=None)
def get(services: ServicesOf, session_id: str, update_ts: bool = False, image: bool = False) -> Response:
    """What is known of a session, or its image."""
    session = services.sessions.get(session_id, touch=update_ts)
    if not image:
        return JSONResponse(session.describe())
    if session.path.is_file():
        return FileResponse(session.path, media_type=media_type(session.path.name), filename=session.path.name)
    folder, removal = holding_folder(services.settings)
    packed = shutil.make_archive(str(folder / "session"), "zip", session.path)
    return FileResponse(packed, media_type="application/zip", filename="session.zip", background=removal)


@router.delete("/{session_id}")
def remove(services: ServicesOf, session_id: str) -> dict[str, Any]:
    """End a session and delete its image."""
    return services.sessions.remove(session_id).describe()


def _fill(services: Services, files: list[UploadFile], folder: Path) -> str:
    return receive_image(services.settings, files, folder).name
