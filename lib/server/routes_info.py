"""Who is there: `/info`, `/health` and `/auth`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from .. import __version__
from .info import app_info
from .wiring import ServicesOf

router = APIRouter(tags=["Information"])


@router.get("/info")
def info(services: ServicesOf) -> dict[str, Any]:
    """What the server offers, in MONAI Label's form."""
    return app_info(services)


@router.get("/health")
async def health() -> dict[str, str]:
    """Whether the server answers; touches nothing else."""
    return {"status": "ok", "version": __version__}


@router.get("/auth")
async def auth() -> dict[str, bool]:
    """Whether a client has to log in; MONAI Label's client asks before anything else."""
    return {"enabled": False}
