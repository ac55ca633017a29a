"""Opening the datastore a command works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from ..datastores.orthanc_server import OrthancServer
from ..datastores.port import ImageStore, open_store
from ..server.run import ServerAddress, read_state
from ..settings import Settings

PASSWORD_VARIABLE = "CARINA_PACS_PASSWORD"  # noqa: S105  a variable's name


def credentials(user: str | None) -> tuple[str, str] | None:
    """User and password of the PACS, if a user is given; the password never stands on the command line."""
    return (user, os.environ.get(PASSWORD_VARIABLE, "")) if user else None


def running_server(settings: Settings) -> ServerAddress | None:
    """The server that runs on these settings now, or None."""
    address = read_state(settings)
    return address if address is not None and psutil.pid_exists(address.pid) else None


@contextmanager
def image_store(settings: Settings, store_url: str | None, *, user: str | None = None) -> Iterator[ImageStore]:
    """The store a URL names; without one that of the running server, else carina's own Orthanc, started for the while.

    Raises:
        CarinaError: As `open_store` and `OrthancServer.start` do.
    """
    address = running_server(settings) if store_url is None else None
    if store_url is not None:
        name, password = credentials(user) or (None, None)
        store = open_store(store_url, settings=settings, user=name, password=password)
    elif address is not None:
        store = open_store(address.store, settings=settings, user=address.pacs_user, password=address.pacs_password)
    else:
        with OrthancServer.start(settings) as orthanc:
            store = open_store(
                f"orthanc+{orthanc.url}", settings=settings, user=orthanc.user, password=orthanc.password
            )
            with _closing(store):
                yield store
        return
    with _closing(store):
        yield store


@contextmanager
def _closing(store: ImageStore) -> Iterator[None]:
    try:
        yield
    finally:
        store.close()
