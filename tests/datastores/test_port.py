"""Opening stores by URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from carina.datastores.port import NON_IMAGE_MODALITIES, open_store
from carina.errors import ConfigurationError, UnknownNameError
from carina.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("orthanc+http://127.0.0.1:1", "orthanc"),
        ("orthanc+https://pacs.example/orthanc", "orthanc"),
        ("dicomweb+https://pacs.example/dicom-web", "dicomweb"),
    ],
)
def test_opens_the_adapter_that_the_url_names(settings: Settings, url: str, name: str) -> None:
    store = open_store(url, settings=settings)
    assert store.name == name
    store.close()


def test_opens_a_folder_by_path_text_or_file_url(settings: Settings, tmp_path: Path) -> None:
    for spelling in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        assert open_store(spelling, settings=settings).status()["location"] == str(tmp_path)


def test_takes_the_login_out_of_the_url(settings: Settings) -> None:
    store = open_store("orthanc+http://anna:s%40fe@127.0.0.1:1/pacs", settings=settings)
    assert store.status()["location"] == "http://127.0.0.1:1/pacs"
    assert "s@fe" not in str(store.status())
    store.close()


def test_asks_what_sort_of_server_a_bare_url_is(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"orthanc\+http.*dicomweb\+http") as caught:
        open_store("http://anna:secret@127.0.0.1:8042", settings=settings)
    assert "secret" not in str(caught.value)


def test_suggests_the_adapter_that_was_meant(settings: Settings) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'orthanc'"):
        open_store("orthank+http://127.0.0.1:1", settings=settings)


def test_knows_that_reports_and_segmentations_are_no_images() -> None:
    assert {"SEG", "SR", "PR", "KO", "RTSTRUCT"} <= NON_IMAGE_MODALITIES
    assert not {"CT", "MR", "PT", "CR", "DX", "OT", "US", "MG"} & NON_IMAGE_MODALITIES
