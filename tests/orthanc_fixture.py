"""A real Orthanc for tests, shared by a session; and its skip where there is none. A pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carina.datastores.orthanc_program import find_dicomweb_plugin, find_orthanc
from carina.datastores.orthanc_server import OrthancServer
from carina.errors import MissingDependencyError
from carina.settings import Settings


@pytest.fixture(scope="session")
def orthanc_installed() -> None:
    """Skip where Orthanc or its DICOMweb plugin is missing."""
    try:
        find_orthanc()
        find_dicomweb_plugin()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def orthanc(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """One Orthanc for the whole session; tests make their own UIDs and must not count what others stored."""
    with OrthancServer.start(Settings(home=tmp_path_factory.mktemp("orthanc-home"))) as server:
        yield server
