"""Runs the server: Orthanc first when none is given, then the services, then uvicorn; all stopped again in reverse.

`python -m carina.server.run` is what `carina up`, the demo and the tests start as a child.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import FrameType

import psutil
import uvicorn

from ..datastores.orthanc_server import OrthancServer
from ..datastores.port import ImageStore
from ..errors import ConfigurationError
from ..images import write_atomically
from ..settings import Settings
from . import compat
from .orthanc_keeper import OrthancKeeper

_LOG = logging.getLogger(__name__)
_GRACE_S = 5
_STATE_FILE = "server.json"


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where a running server and its PACS are.

    Attributes:
        url: Of the server.
        pid: Of its process.
        store: What images come from, as `open_store` takes it, without a login.
        pacs_url: REST root of the PACS, if there is one.
        pacs_user: For basic auth.
        pacs_password: For basic auth.
    """

    url: str
    pid: int
    store: str
    pacs_url: str | None = None
    pacs_user: str | None = None
    pacs_password: str | None = None


def serve(
    settings: Settings,
    store_url: str | None = None,
    *,
    credentials: tuple[str, str] | None = None,
    on_ready: Callable[[ServerAddress], None] | None = None,
) -> None:
    """Serve until the process is asked to stop (SIGINT or SIGTERM).

    Args:
        settings: Where state lives; `host` and `port` to bind, port 0 for a free one.
        store_url: As `datastores.open_store` takes it; None starts an Orthanc of carina's own.
        credentials: User and password of the PACS.
        on_ready: Told the addresses once requests are answered.

    Raises:
        MissingDependencyError: If no store is given and Orthanc is not installed.
        ConfigurationError: If the address cannot be bound.
        PacsError: If the PACS does not answer.
    """
    compat.install()
    from .logs import configure_logging

    configure_logging(settings, rotates=True)
    with _stopped_by_signals(), ExitStack() as stack:
        listener = stack.enter_context(_bind(settings))
        stack.callback(_forget_state, settings)
        if store_url is None:
            orthanc = stack.enter_context(OrthancServer.start(settings))
            stack.enter_context(OrthancKeeper(orthanc))
            store_url, credentials = f"orthanc+{orthanc.url}", (orthanc.user, orthanc.password)
        address = _address(settings, listener, store_url, credentials)
        _run(settings, store_url, credentials, listener, lambda: _announce(settings, address, on_ready))


def state_path(settings: Settings) -> Path:
    """Where a running server leaves its addresses, readable by its user only."""
    return settings.home / _STATE_FILE


def read_state(settings: Settings) -> ServerAddress | None:
    """The addresses of the server that runs on these settings, or None."""
    try:
        address = ServerAddress(**json.loads(state_path(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return address if psutil.pid_exists(address.pid) else None


def _forget_state(settings: Settings) -> None:
    """Remove the addresses this process left; a server that was refused must not take those of the one that runs."""
    address = read_state(settings)
    if address is None or address.pid == os.getpid():
        state_path(settings).unlink(missing_ok=True)


class _AskedToStop(BaseException):
    """Unwinds `serve` from wherever a signal finds it, so that everything started is stopped."""


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into an orderly end; ignore those that come while it is under way.

    Uvicorn handles both while it serves and raises them again afterwards; by default that would end the process before
    Orthanc is stopped. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise _AskedToStop

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, leave)
    try:
        with suppress(_AskedToStop):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    settings: Settings,
    store_url: str,
    credentials: tuple[str, str] | None,
    listener: socket.socket,
    announce: Callable[[], None],
) -> None:
    from .app import create_app
    from .services import build_services

    services = build_services(settings, store_url, credentials=credentials, delivers_apart=True)
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # What the imports made lives as long as the server; to look it through, the collector held up answers for 80 ms.
    gc.collect()
    gc.freeze()

    def ready() -> None:
        announce()
        threading.Thread(target=_look_at_store, args=[services.store], name="carina-store", daemon=True).start()

    _Announcing(config, ready).run(sockets=[listener])


def _look_at_store(store: ImageStore) -> None:
    """Say so if no image can be read: a server serves without its PACS too, and nobody may look at its pages."""
    status = store.status()
    if not status.get("reachable"):
        _LOG.warning(
            "No images for now; submitted labels are kept until they can be delivered. %s", status.get("error")
        )


class _Announcing(uvicorn.Server):
    """Uvicorn that says when it answers, and when it stops."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _LOG.info("stopping")
        await super().shutdown(sockets=sockets)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigurationError(
                f"The address to bind must be one of this machine's, got '{settings.host}' ({error.strerror}). "
                "Give 127.0.0.1, or 0.0.0.0 for all of them."
            ) from error
        raise ConfigurationError(
            f"Port {settings.port} of {settings.host} must be free, got '{error.strerror}'. Choose another port."
        ) from error
    return listener


def _address(
    settings: Settings, listener: socket.socket, store_url: str, credentials: tuple[str, str] | None
) -> ServerAddress:
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    prefix, plus, rest = store_url.partition("+")
    user, password = credentials or (None, None)
    return ServerAddress(
        url=f"http://{host}:{port}",
        pid=os.getpid(),
        store=f"{prefix}+{rest.rpartition('@')[2]}" if plus and "@" in rest else store_url,
        pacs_url=rest if plus and prefix == "orthanc" and "@" not in rest else None,
        pacs_user=user,
        pacs_password=password,
    )


def _announce(settings: Settings, address: ServerAddress, on_ready: Callable[[ServerAddress], None] | None) -> None:
    def write(path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(address), file)

    write_atomically(state_path(settings), write)
    _LOG.info("serving %s from %s", address.url, address.store)
    if on_ready is not None:
        on_ready(address)


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings) if hasattr(arguments, field.name)}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the child process; the PACS password comes from `CARINA_PACS_PASSWORD`, never as an argument."""
    parser = argparse.ArgumentParser(prog="carina.server.run", description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--upload-limit-mib", type=int)
    parser.add_argument("--unpacked-limit-mib", type=int)
    parser.add_argument("--pacs-timeout-s", type=float)
    parser.add_argument("--inference-queue", type=int)
    parser.add_argument("--lease-minutes", type=float)
    parser.add_argument("--store")
    parser.add_argument("--user")
    parsed = parser.parse_args(arguments)
    credentials = (parsed.user, os.environ.get("CARINA_PACS_PASSWORD", "")) if parsed.user else None
    serve(_settings(parsed), parsed.store, credentials=credentials)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
