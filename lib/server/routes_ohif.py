"""The OHIF viewer under `/ohif/`: the build's files, our configuration of it, and our panel's modules."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from ..errors import NotFoundError
from ..viewer.build import BASE, OhifBuild, app_config, content_policy, find_build, modules_folder

router = APIRouter(prefix=BASE, include_in_schema=False)

_HASHED = re.compile(r"[.-]?[0-9a-f]{16,}\.(js|wasm|woff2)$")
_MODULE_SUFFIXES = (".js", ".css")
_FRESH = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_MEDIA_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2"}


@router.get("/app-config.js")
def configuration() -> Response:
    """What OHIF is told about this server."""
    build = find_build()
    return Response(app_config(build), media_type="text/javascript", headers=_headers(build, "app-config.js"))


@router.get("/carina/{name}")
def module(name: str) -> FileResponse:
    """One of carina's own modules or style sheets."""
    target = _inside(modules_folder(), name)
    if target.suffix not in _MODULE_SUFFIXES or not target.is_file():
        raise NotFoundError(f"A module of the viewer must be one of carina's, got '{name[:64]}'. Check the address.")
    return FileResponse(target, media_type=_media_type(target), headers=_FRESH)


@router.get("")
@router.get("/{path:path}")
def viewer(request: Request, path: str = "") -> FileResponse:
    """A file of the viewer; a page of its own router is answered with its start page."""
    build = find_build()
    target = _inside(build.folder, path)
    if not target.is_file():
        if target.suffix in _MEDIA_TYPES:
            raise NotFoundError(f"A file of the viewer must exist, got '{target.name[:64]}'. Reload the page.")
        target = build.start_page
    headers = _headers(build, target.name)
    packed = target.with_name(f"{target.name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        return FileResponse(
            packed,
            media_type=_media_type(target),
            headers={**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
        )
    return FileResponse(target, media_type=_media_type(target), headers=headers)


def _inside(folder: Path, path: str) -> Path:
    target = (folder / path).resolve() if "\0" not in path else folder.parent
    if not target.is_relative_to(folder):
        raise NotFoundError("A file of the viewer must lie in its folder. Check the address.")
    return target


def _media_type(file: Path) -> str:
    return _MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _headers(build: OhifBuild, name: str) -> dict[str, str]:
    lasting = {"Cache-Control": "public, max-age=31536000, immutable"} if _HASHED.search(name) else {}
    return {**_FRESH, **lasting, "Content-Security-Policy": content_policy(build), "Referrer-Policy": "no-referrer"}
