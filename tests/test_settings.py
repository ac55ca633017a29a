"""Settings come from the environment, which is refused in words where it makes no sense."""

from __future__ import annotations

import pytest

from carina.errors import ConfigurationError
from carina.settings import Settings


def test_limits_are_those_of_the_environment(monkeypatch):
    usual = Settings()
    monkeypatch.setenv("CARINA_UPLOAD_LIMIT_MIB", "5000")
    monkeypatch.setenv("CARINA_UNPACKED_LIMIT_MIB", "20000")
    monkeypatch.setenv("CARINA_CACHE_LIMIT_GIB", "0.5")
    monkeypatch.setenv("CARINA_PACS_TIMEOUT_S", "7.5")
    settings = Settings()

    assert (usual.upload_limit_mib, usual.unpacked_limit_mib) == (2048, 8192)
    assert (usual.cache_limit_gib, usual.pacs_timeout_s) == (20.0, 60.0)
    assert (settings.upload_limit_mib, settings.unpacked_limit_mib) == (5000, 20000)
    assert (settings.cache_limit_gib, settings.pacs_timeout_s) == (0.5, 7.5)
    assert Settings(upload_limit_mib=1).upload_limit_mib == 1


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CARINA_UPLOAD_LIMIT_MIB", "2 GB"),
        ("CARINA_UNPACKED_LIMIT_MIB", "-1"),
        ("CARINA_CACHE_LIMIT_GIB", "0"),
        ("CARINA_PACS_TIMEOUT_S", "nan"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=variable):
        Settings()
