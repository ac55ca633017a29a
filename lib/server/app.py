"""The FastAPI application: routes by topic, one error mapping, limits around everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import __version__
from ..viewer.build import DICOMWEB
from . import (
    routes_activelearning,
    routes_annotations,
    routes_batch,
    routes_carina,
    routes_datastore,
    routes_dicomweb,
    routes_infer,
    routes_info,
    routes_jobs,
    routes_landing,
    routes_logs,
    routes_model,
    routes_ohif,
    routes_scoring,
    routes_session,
    routes_train,
)
from .dicomweb_proxy import DicomWebProxy
from .own_pages import OwnPages
from .responses import install_error_handlers
from .services import Services
from .slow_lane import SlowLane
from .uploads import BodyLimit


def create_app(services: Services) -> FastAPI:
    """The server's application.

    Args:
        services: What the routes act on. The application starts its workers and outbox and closes it at shutdown.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        async with DicomWebProxy(services.store, base=DICOMWEB) as app.state.dicomweb:
            yield
        services.close()

    app = FastAPI(title="carina", version=__version__, lifespan=lifespan, redirect_slashes=False, docs_url="/docs")
    app.state.services = services
    app.state.slow_lane = SlowLane()
    install_error_handlers(app)
    for routes in (
        routes_info,
        routes_landing,
        routes_infer,
        routes_batch,
        routes_datastore,
        routes_activelearning,
        routes_train,
        routes_scoring,
        routes_session,
        routes_logs,
        routes_model,
        routes_ohif,
        routes_annotations,
        routes_dicomweb,
        routes_carina,
        routes_jobs,
    ):
        app.include_router(routes.router)
    app.add_middleware(BodyLimit, limit_bytes=services.settings.upload_limit_mib << 20)
    app.add_middleware(SlashTolerance)
    app.add_middleware(OwnPages, settings=services.settings)
    return app


class SlashTolerance:
    """ASGI middleware: `/info/` and `/info` are one address.

    MONAI Label's client does not follow redirects, and its server's routes differ in their slashes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop trailing slashes before routing."""
        if scope["type"] == "http" and scope["path"] != "/" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)
