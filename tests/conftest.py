"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .orthanc_fixture import orthanc, orthanc_installed  # noqa: F401
from .postgres_fixture import database_url, postgres  # noqa: F401
from .scheduling import ByFile, longest_first


@pytest.hookimpl(optionalhook=True)  # only where pytest-xdist is used
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Share the tests out by file, longest work first."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    longest_first(items)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of small real images, or a skip with the reason."""
    override = os.environ.get("CARINA_TEST_DATA")
    folder = Path(override) if override else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real test data: neither CARINA_TEST_DATA nor {folder} is there")
    return folder


@pytest.fixture(autouse=True)
def carina_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own CARINA_HOME."""
    home = tmp_path / "carina-home"
    monkeypatch.setenv("CARINA_HOME", str(home))
    return home
