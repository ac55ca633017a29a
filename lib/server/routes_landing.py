"""The page for a person who opens the server's address: one static file that reads the JSON routes."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..viewer.build import modules_folder

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/")
def landing() -> FileResponse:
    """Tasks, models, queue, trainings and deliveries at a glance, and the way into the viewer."""
    return FileResponse(modules_folder() / "landing.html", media_type="text/html", headers=_HEADERS)
