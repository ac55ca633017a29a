"""The Orthanc adapter on a bad day: cut off, slow, busy, changed behind our back, or gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import ImageStore, open_store
from carina.errors import InvalidInputError, PacsError, PacsTimeoutError, UnknownImageError
from carina.settings import Settings

from .builder import build_series, write_series
from .proxy import Proxy, running_proxy

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(orthanc: OrthancServer) -> Iterator[Proxy]:
    with running_proxy(orthanc.url) as running:
        yield running


@pytest.fixture
def store(proxy: Proxy, orthanc: OrthancServer, tmp_path: Path) -> Iterator[ImageStore]:
    settings = Settings(home=tmp_path / "home", pacs_timeout_s=1.0)
    opened = open_store(f"orthanc+{proxy.url}/", settings=settings, user=orthanc.user, password=orthanc.password)
    yield opened
    opened.close()


def _path_in_orthanc(server: OrthancServer, series_instance_uid: str) -> str:
    auth = (server.user, server.password)
    found = requests.post(f"{server.url}/tools/lookup", data=series_instance_uid, auth=auth, timeout=10).json()
    return str(found[0]["Path"])


def _wait_until_stable(server: OrthancServer, path: str) -> None:
    deadline = time.monotonic() + 20.0
    while not requests.get(server.url + path, auth=(server.user, server.password), timeout=10).json()["IsStable"]:
        assert time.monotonic() < deadline, "the series did not become stable"
        time.sleep(0.1)


def test_keeps_nothing_of_an_archive_that_was_cut_off(store: ImageStore, proxy: Proxy, tmp_path: Path) -> None:
    image_id = store.add_image(write_series(build_series(), tmp_path / "in"))
    proxy.disturb = lambda request: "cut" if "archive" in request else None
    with pytest.raises(PacsError, match="cut off"):
        store.fetch(image_id)
    proxy.disturb = lambda request: None
    assert len(list(store.fetch(image_id).iterdir())) == 5


def test_a_series_with_a_file_that_was_cut_off_is_refused_whole_and_by_name(store: ImageStore, tmp_path: Path) -> None:
    series = build_series()
    folder = write_series(series, tmp_path / "in")
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-40])
    with pytest.raises(InvalidInputError, match=f"refused '{last.name}'"):
        store.add_image(folder)
    assert series[0].SeriesInstanceUID not in {record.image_id for record in store.list_images()}


def test_a_series_that_the_pacs_left_in_the_middle_of_is_taken_back_and_what_was_there_stays(
    store: ImageStore, orthanc: OrthancServer, proxy: Proxy, tmp_path: Path
) -> None:
    series = build_series()
    before = store.add_image(write_series(series[:2], tmp_path / "before"))
    answers = iter([None] * 4)  # two of them are there already, two are new
    proxy.disturb = lambda request: next(answers, "error") if request.startswith("POST /instances") else None
    with pytest.raises(PacsError):
        store.add_image(write_series(series, tmp_path / "in"))
    found = _path_in_orthanc(orthanc, before)
    kept = requests.get(orthanc.url + found, auth=(orthanc.user, orthanc.password), timeout=10).json()["Instances"]
    assert len(kept) == 2


def test_says_that_time_ran_out(store: ImageStore, proxy: Proxy) -> None:
    store.list_images()
    proxy.disturb = lambda request: "delay"
    with pytest.raises(PacsTimeoutError, match="no answer in 1 s"):
        store.fetch("1.2.3.4")


def test_asks_again_when_the_pacs_is_briefly_busy(store: ImageStore, proxy: Proxy, tmp_path: Path) -> None:
    answers = iter(["busy", "busy"])
    proxy.disturb = lambda request: next(answers, None)
    image_id = store.add_image(write_series(build_series(slices=2), tmp_path / "in"))
    assert store.record(image_id).instances == 2


def test_fetches_again_when_the_series_has_grown(store: ImageStore, tmp_path: Path) -> None:
    datasets = build_series()
    image_id = store.add_image(write_series(datasets[:3], tmp_path / "first"))
    assert len(list(store.fetch(image_id).iterdir())) == 3
    store.add_image(write_series(datasets[3:], tmp_path / "rest"))
    assert len(list(store.fetch(image_id).iterdir())) == 5


def test_counts_instances_while_a_series_is_still_arriving(
    store: ImageStore, orthanc: OrthancServer, tmp_path: Path
) -> None:
    datasets = build_series()
    image_id = store.add_image(write_series(datasets[:3], tmp_path / "first"))
    assert store.record(image_id).instances == 3
    settings = Settings(home=tmp_path / "other")
    other = open_store(f"orthanc+{orthanc.url}", settings=settings, user=orthanc.user, password=orthanc.password)
    other.add_image(write_series(datasets[3:], tmp_path / "rest"))
    other.close()
    deadline = time.monotonic() + 5.0
    while store.record(image_id).instances != 5:
        assert time.monotonic() < deadline, "the new instances did not show"
        time.sleep(0.1)


def test_notices_what_was_deleted_and_replaced_by_others(
    store: ImageStore, orthanc: OrthancServer, tmp_path: Path
) -> None:
    gone = store.add_image(write_series(build_series(slices=1), tmp_path / "gone"))
    path = _path_in_orthanc(orthanc, gone)
    _wait_until_stable(orthanc, path)
    time.sleep(1.1)
    assert store.record(gone)
    requests.delete(orthanc.url + path, auth=(orthanc.user, orthanc.password), timeout=10).raise_for_status()
    came = store.add_image(write_series(build_series(slices=1), tmp_path / "came"))
    ids = {record.image_id for record in store.list_images()}
    assert came in ids
    assert gone not in ids
    with pytest.raises(UnknownImageError):
        store.fetch(gone)


def test_asks_little_when_nothing_changed(store: ImageStore, proxy: Proxy, tmp_path: Path) -> None:
    for number in range(3):
        store.add_image(write_series(build_series(slices=1), tmp_path / f"in{number}"))
    store.list_images()
    before = len(proxy.seen)
    for _ in range(50):
        store.list_images()
    assert len(proxy.seen) - before <= 10


def test_lists_a_full_pacs_in_pages_and_not_one_by_one(orthanc: OrthancServer, proxy: Proxy, tmp_path: Path) -> None:
    auth = (orthanc.user, orthanc.password)
    for dataset in [build_series(slices=1)[0] for _ in range(120)]:
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        requests.post(f"{orthanc.url}/instances", data=buffer.getvalue(), auth=auth, timeout=10).raise_for_status()
    settings = Settings(home=tmp_path / "home")
    store = open_store(f"orthanc+{proxy.url}", settings=settings, user=orthanc.user, password=orthanc.password)
    assert len(store.list_images()) >= 120
    assert len(proxy.seen) <= 12
    store.close()


def test_says_that_the_login_was_refused(proxy: Proxy, tmp_path: Path) -> None:
    store = open_store(f"orthanc+{proxy.url}", settings=Settings(home=tmp_path), user="carina", password="wrong")
    with pytest.raises(PacsError, match="user and password"):
        store.list_images()
    status = store.status()
    assert status["reachable"] is False
    assert "wrong" not in str(status)
    store.close()


def test_says_that_the_address_is_no_orthanc(orthanc: OrthancServer, tmp_path: Path) -> None:
    url = f"orthanc+{orthanc.dicomweb_url}"
    store = open_store(url, settings=Settings(home=tmp_path), user=orthanc.user, password=orthanc.password)
    with pytest.raises(PacsError):
        store.list_images()
    store.close()


def test_takes_only_the_series_uid_as_an_id(store: ImageStore, tmp_path: Path) -> None:
    folder = write_series(build_series(slices=1), tmp_path / "in")
    with pytest.raises(InvalidInputError, match="SeriesInstanceUID"):
        store.add_image(folder, "my-image")


@pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
def test_says_quickly_that_a_stopped_pacs_cannot_be_reached(orthanc_installed: None, tmp_path: Path, kind: str) -> None:
    settings = Settings(home=tmp_path, pacs_timeout_s=5.0)
    with OrthancServer.start(settings) as server:
        url = server.url if kind == "orthanc" else server.dicomweb_url
        store = open_store(f"{kind}+{url}", settings=settings, user=server.user, password=server.password)
        image_id = store.add_image(write_series(build_series(slices=2), tmp_path / "in"))
        store.fetch(image_id)
    for call in (lambda: store.fetch(image_id), lambda: store.store_instance(build_series(slices=1)[0])):
        with pytest.raises(PacsError, match="cannot be reached"):
            call()
    status = store.status()
    store.close()
    assert status["reachable"] is False
    assert "cannot be reached" in str(status["error"])
