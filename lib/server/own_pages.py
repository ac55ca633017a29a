"""Which web pages may use the server: its own, and no other that a browser on its machine or network has open.

There is no login, and a browser sends what any page tells it to. Two ways in are closed: a foreign page that sends a
request without seeing the answer (cross-site request forgery), and one whose host name was made to point at this
machine, to which a browser would show all answers (DNS rebinding). Programs such as 3D Slicer send none of the headers
that are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import ForbiddenError
from ..settings import Settings, is_loopback
from .responses import error_response

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"\[([0-9a-f:.]+)\](?::\d+)?|([^:@/]+)(?::\d*)?")
_OWN_SITE = frozenset({"same-origin", "none"})


class OwnPages:
    """ASGI middleware that refuses what another site's page asks for, with 403.

    Args:
        app: What it wraps.
        settings: Where the server is bound, and the further names it answers to.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._named = settings.host_names if settings.on_loopback or settings.host_names else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the headers, before anything else is read."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            reason = _wrong_name(headers, self._named) or _foreign_page(scope["method"], headers)
            if reason:
                answer = error_response(ForbiddenError.http_status, reason, ForbiddenError.__name__)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _wrong_name(headers: Headers, named: Collection[str] | None) -> str | None:
    """Why the name that was asked for is not the server's; None if it is, or any will do."""
    name = _host_name(headers.get("host", ""))
    if named is None or not name or is_loopback(name) or name in named:
        return None
    return (
        f"The server must be asked for by a name of its own, got '{name[:64]}'. If a reverse proxy passes that name "
        "on, set CARINA_HOSTS to it."
    )


def _foreign_page(method: str, headers: Headers) -> str | None:
    """Why a request that may change something comes from another site's page; None if it does not.

    Browsers say where a page is from in `Sec-Fetch-Site`, over HTTPS and on loopback; else the page's origin is
    compared with the name that was asked for, which a reverse proxy may have put into `X-Forwarded-Host`.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if method in _READING or (origin is None and site is None):
        return None
    named = {headers.get("host"), headers.get("x-forwarded-host")}
    own = (origin or "").partition("://")[2] in named if site is None else site in _OWN_SITE
    if own:
        return None
    page = (origin or site or "")[:64]
    return f"Changes must come from the server's own pages or from programs, got a page of '{page}'."


def _host_name(host: str) -> str:
    """Without the port, an IPv6 address without its brackets; as it is where it is neither."""
    parts = _HOST.fullmatch(host.lower())
    return (parts[1] or parts[2]) if parts else host
