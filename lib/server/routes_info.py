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
async def auth() -> dict[str, Any]:
    """Whether a client has to log in; MONAI Label's client asks before anything else."""
    return {"enabled": False, "client_id": None, "realm": None}


@router.post("/auth/token")
async def token() -> dict[str, None]:
    """The token of a server without logins, as MONAI Label's own answers: there is none."""
    return {"access_token": None, "token_type": None}


@router.get("/auth/token/valid")
async def token_is_valid() -> dict[str, Any]:
    """Who a token belongs to; without logins every client is nobody in particular and may do everything."""
    return {"username": "anonymous", "email": None, "name": None, "roles": []}
