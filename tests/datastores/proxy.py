"""A loopback HTTP proxy in front of a real PACS: it counts requests, and fails as networks and PACS do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

_DELAY_S = 2.0
_HANG_S = 60.0


class Proxy:
    """Forwards to `target`.

    Attributes:
        target: May change while it runs, as when a PACS comes back on another port.
        url: Where it listens.
        seen: `METHOD path` of every request, in order of arrival.
        disturb: Called with `METHOD path` before it is forwarded; may return one of these, or None:
            `delay` answers 2 s late, `cut` sends half an answer, `busy` is 503 and `error` 500 without forwarding,
            `hang` gives no answer at all, `refuse` closes the connection unread, `drop` forwards and closes it without
            the answer.
        forwarded: Called with `METHOD path` once the target has answered, before its answer is passed on.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.seen: list[str] = []
        self.disturb: Callable[[str], str | None] = lambda request: None
        self.forwarded: Callable[[str], None] = lambda request: None
        self.closing = threading.Event()

    def count(self, part: str) -> int:
        """How many requests so far had `part` in them."""
        return sum(part in request for request in self.seen)


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def _forward(self) -> None:
        request = f"{self.command} {self.path}"
        self.proxy.seen.append(request)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        disturbance = self.proxy.disturb(request)
        if disturbance in ("busy", "error"):
            self.send_error(503 if disturbance == "busy" else 500)
            return
        if disturbance == "refuse":
            return
        if disturbance in ("hang", "delay"):
            self.proxy.closing.wait(_HANG_S if disturbance == "hang" else _DELAY_S)
        if disturbance == "hang":
            return
        answer = self._ask(body)
        self.proxy.forwarded(request)
        if answer is not None and disturbance != "drop":
            self._pass_on(answer, cut=disturbance == "cut")

    def _ask(self, body: bytes) -> requests.Response | None:
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
        try:
            return requests.request(
                self.command, self.proxy.target + self.path, data=body, headers=headers, timeout=120
            )
        except requests.RequestException:
            return None

    def _pass_on(self, answer: requests.Response, *, cut: bool) -> None:
        content = answer.content[: len(answer.content) // 2] if cut else answer.content
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(answer.status_code)
            for name in ("Content-Type", "Content-Disposition"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815 - the names http.server calls

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed in the middle."""


@contextmanager
def running_proxy(target: str) -> Iterator[Proxy]:
    """A proxy to `target` on a free port."""
    proxy = Proxy(target)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        server.server_close()
