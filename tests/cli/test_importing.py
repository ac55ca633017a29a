from __future__ import annotations

import shutil

import pytest

from carina.datastores.port import open_store, read_image
from carina.settings import Settings


@pytest.fixture
def folder_store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def test_every_series_below_a_folder_is_imported(carina, phantoms, folder_store):
    ran = carina("import", phantoms / "images", "--store", folder_store, "--json")

    store = open_store(folder_store, settings=Settings())
    assert ran.exit_code == 0
    assert len(ran.json["images"]) == 3
    assert {record.image_id for record in store.list_images()} == set(ran.json["images"])
    store.close()


def test_one_series_as_folder_or_zip_is_one_image(carina, phantoms, folder_store, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", phantoms / "images" / "phantom-007")

    first = carina("import", phantoms / "images" / "phantom-008", "--store", folder_store, "--json")
    second = carina("import", archive, "--store", folder_store, "--json")

    store = open_store(folder_store, settings=Settings())
    volume, series = read_image(store, second.json["images"][0])
    assert len(first.json["images"]) == len(second.json["images"]) == 1
    assert volume.grid.shape == (32, 30, 24)
    assert series is not None
    store.close()


def test_says_what_is_missing(carina, tmp_path, folder_store):
    (tmp_path / "empty").mkdir()

    nothing = carina("import", tmp_path / "nowhere", "--store", folder_store, "--json")
    empty = carina("import", tmp_path / "empty", "--store", folder_store, "--json")

    assert "not there" in nothing.json["detail"]
    assert "must hold images" in empty.json["detail"]
    assert nothing.exit_code == empty.exit_code == 1


def test_server_and_store_exclude_each_other(carina, phantoms, folder_store):
    ran = carina("import", phantoms, "--store", folder_store, "--server", "http://127.0.0.1:9", "--json")

    assert ran.exit_code == 1
    assert "must not be given together" in ran.json["detail"]


def test_a_server_that_does_not_run_is_said_in_words(carina, phantoms):
    ran = carina("import", phantoms / "images" / "phantom-007", "--server", "http://127.0.0.1:9", "--json")

    assert ran.exit_code == 1
    assert "carina up" in ran.json["detail"]
