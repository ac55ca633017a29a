"""Orthanc and its plugin are found where they were put, or named with what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from carina.datastores.orthanc_program import find_dicomweb_plugin, find_orthanc
from carina.errors import MissingDependencyError


def test_what_the_environment_names_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, plugin = tmp_path / "Orthanc", tmp_path / "plugin.so"
    for file in (program, plugin):
        file.write_text("")
        file.chmod(0o755)
    monkeypatch.setenv("CARINA_ORTHANC", str(program))
    monkeypatch.setenv("CARINA_ORTHANC_DICOMWEB", str(plugin))
    assert (find_orthanc(), find_dicomweb_plugin()) == (program, plugin)


def test_a_program_that_is_none_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARINA_ORTHANC", str(tmp_path / "absent"))
    with pytest.raises(MissingDependencyError, match=r"absent, which is no program.*apt-get install orthanc"):
        find_orthanc()
