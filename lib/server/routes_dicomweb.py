"""Images for a viewer: `/dicomweb/…`, passed on to the PACS."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..viewer.build import DICOMWEB
from .dicomweb_proxy import DicomWebProxy

router = APIRouter(prefix=DICOMWEB, tags=["DICOMweb"])


@router.get("/{path:path}", operation_id="dicomweb_get")
@router.post("/{path:path}", operation_id="dicomweb_post")
async def pass_on(request: Request, path: str) -> Response:
    """QIDO-RS and WADO-RS (GET) and STOW-RS (POST) of the PACS that holds the images."""
    proxy: DicomWebProxy = request.app.state.dicomweb
    return await proxy.pass_on(
        request.method,
        f"/{path}",
        query=request.query_params.multi_items(),
        headers=request.headers,
        body=request.stream(),
    )
