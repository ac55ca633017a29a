"""The OHIF viewer that comes inside the monailabel wheel, as static files."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..errors import MissingDependencyError, NotFoundError

router = APIRouter(prefix="/ohif", include_in_schema=False)


@cache
def ohif_folder() -> Path:
    """Where the viewer's files are.

    Raises:
        MissingDependencyError: If the installed monailabel has none.
    """
    spec = importlib.util.find_spec("monailabel")
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place, "endpoints", "static", "ohif").resolve()
        if (folder / "index.html").is_file():
            return folder
    raise MissingDependencyError("OHIF must be installed to be served, got none. Install the monailabel wheel.")


@router.get("")
@router.get("/{path:path}")
def viewer(path: str = "") -> FileResponse:
    """A file of the viewer; a page of its own router is answered with its start page."""
    folder = ohif_folder()
    target = (folder / path).resolve()
    if not target.is_relative_to(folder):
        raise NotFoundError("A file of the viewer must lie in its folder. Check the address.")
    return FileResponse(target if target.is_file() else folder / "index.html")
