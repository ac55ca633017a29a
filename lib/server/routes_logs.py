"""The server's log and its GPU, for the person who runs it."""

from __future__ import annotations

import html as markup
import shutil
import subprocess
from collections import deque
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from ..errors import NotFoundError
from .logs import log_path
from .wiring import ServicesOf

router = APIRouter(prefix="/logs", tags=["Logs"])


@router.get("")
def log(
    services: ServicesOf,
    lines: Annotated[int, Query(ge=1, le=100_000)] = 300,
    html: bool = True,
    text: bool = False,
    refresh: Annotated[int, Query(ge=0, le=3600)] = 0,
) -> Response:
    """The last lines of the log, as a page or as plain text."""
    path = log_path(services.settings)
    if not path.is_file():
        raise NotFoundError("The log must exist, got none yet. The server writes it once something happens.")
    with path.open(encoding="utf-8", errors="replace") as file:
        last = "".join(deque(file, maxlen=lines))
    if text or not html:
        return PlainTextResponse(last)
    again = f'<meta http-equiv="refresh" content="{max(refresh, 3)}">' if refresh else ""
    return HTMLResponse(
        f"<!doctype html><meta charset=utf-8>{again}<title>carina log</title><pre>{markup.escape(last)}</pre>"
    )


@router.get("/gpu")
def gpu() -> PlainTextResponse:
    """What `nvidia-smi` says, or that there is no GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return PlainTextResponse("No NVIDIA GPU is visible to this server.\n")
    answer = subprocess.run([program], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603  no input
    return PlainTextResponse(answer.stdout or answer.stderr)
