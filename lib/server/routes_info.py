"""Who is there: `/info`, `/health`, `/auth` and the landing page."""

from __future__ import annotations

import html
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from .. import __version__
from .info import app_info
from .services import Services
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


@router.get("/", include_in_schema=False)
def landing(services: ServicesOf) -> HTMLResponse:
    """A page for a person who opens the server's address."""
    return HTMLResponse(_page(services))


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .8rem .4rem 0;"
    "border-bottom:1px solid #d8dee4}code{background:#f3f5f7;padding:.1rem .3rem}"
)


def _page(services: Services) -> str:
    rows = []
    for spec in services.tasks:
        served = services.models.served(spec.name)
        version = served.version if served else "not trained yet"
        cells = (spec.name, spec.description, str(len(spec.labels)), version)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>carina</title><style>{_STYLE}</style>"
        f"<h1>carina {html.escape(__version__)}</h1>"
        "<p>This is a MONAI Label server. In 3D Slicer, open the module <b>MONAI Label</b> and enter this page's "
        "address.</p>"
        "<table><tr><th>Task<th>For<th>Labels<th>Model</tr>" + "".join(rows) + "</table>"
        "<p><a href=/info/>Information</a> · <a href=/docs>Routes</a> · <a href=/logs/>Log</a> · "
        "<a href=/carina/jobs>Jobs</a> · <a href=/carina/deliveries>Deliveries</a></p></html>"
    )
