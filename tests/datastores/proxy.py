"""A loopback HTTP proxy in front of a real PACS: it counts requests, and fails in the ways that networks fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class Proxy:
    """Forwards to `target`.

    Attributes:
        url: Where it listens.
        seen: `METHOD path` of every request, in order of arrival.
        disturb: Called with `METHOD path`; may return `delay`, `cut`, `busy` or None.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.seen: list[str] = []
        self.disturb: Callable[[str], str | None] = lambda request: None

    def count(self, part: str) -> int:
        """How many requests so far had `part` in them."""
        return sum(part in request for request in self.seen)


@contextmanager
def running_proxy(target: str) -> Iterator[Proxy]:
    """A proxy to `target` on a free port."""
    proxy = Proxy(target)

    class Handler(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            request = f"{self.command} {self.path}"
            proxy.seen.append(request)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            disturbance = proxy.disturb(request)
            if disturbance == "busy":
                self.send_error(503)
                return
            if disturbance == "delay":
                time.sleep(2.0)
            headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
            answer = requests.request(self.command, proxy.target + self.path, data=body, headers=headers, timeout=30)
            content = answer.content[: len(answer.content) // 2] if disturbance == "cut" else answer.content
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _forward  # noqa: N815 - the names http.server calls

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
