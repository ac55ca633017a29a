"""What every datastore does, whichever adapter stands behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import ImageStore, find_adapters, open_store, read_image
from carina.errors import CarinaError, DicomError, InvalidInputError, PacsError, UnknownImageError, UnsafeIdError
from carina.settings import Settings

from ..datastores.builder import build_other_object, build_series, write_series
from ..datastores.proxy import running_proxy

VISIBLE_WITHIN_S = 5.0
HOSTILE_IDS = ["../x", "/etc/passwd", "a/b", "a\0b", "", ".", "..", "a..b", "x" * 200, "ä", "a b", "a\n", ".hidden"]


@dataclass
class Place:
    """One adapter under test, and the ways around it."""

    store: ImageStore
    reopen: Callable[[], ImageStore]
    downloads: Callable[[], int]
    deletes: bool
    downloads_per_series: int


def _folder(settings: Settings, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "images"
    folder.mkdir()

    def reopen() -> ImageStore:
        return open_store(folder, settings=settings)

    yield Place(reopen(), reopen, downloads=lambda: 0, deletes=True, downloads_per_series=0)


def _pacs(settings: Settings, server: OrthancServer, *, kind: str) -> Iterator[Place]:
    root = "/dicom-web" if kind == "dicomweb" else ""
    counted = "/instances/" if kind == "dicomweb" else "/archive"
    with running_proxy(server.url) as proxy:

        def reopen() -> ImageStore:
            url = f"{kind}+{proxy.url}{root}"
            return open_store(url, settings=settings, user=server.user, password=server.password)

        yield Place(
            reopen(),
            reopen,
            downloads=lambda: proxy.count(counted),
            deletes=kind == "orthanc",
            downloads_per_series=5 if kind == "dicomweb" else 1,
        )


@pytest.fixture(
    params=[
        "folder",
        pytest.param("orthanc", marks=pytest.mark.integration),
        pytest.param("dicomweb", marks=pytest.mark.integration),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    settings = Settings(home=tmp_path / "home")
    if request.param == "folder":
        places = _folder(settings, tmp_path)
    else:
        places = _pacs(settings, request.getfixturevalue("orthanc"), kind=request.param)
    opened = next(places)
    yield opened
    opened.store.close()
    next(places, None)


def test_the_contract_covers_every_registered_adapter() -> None:
    assert find_adapters().names == ("dicomweb", "folder", "orthanc")


class TestEveryDatastore:
    def test_lists_an_added_image_with_what_its_header_says(self, place: Place, tmp_path: Path) -> None:
        datasets = build_series(patient_id="P-17")
        image_id = place.store.add_image(write_series(datasets, tmp_path / "in"))
        record = next(record for record in place.store.list_images() if record.image_id == image_id)
        assert record == place.store.record(image_id)
        assert image_id == datasets[0].SeriesInstanceUID
        assert record.patient_id == "P-17"
        assert record.modality == "CT"
        assert record.study_instance_uid == datasets[0].StudyInstanceUID
        assert record.instances == 5
        assert record.description == "Small chest"
        assert record.body_part == "CHEST"

    def test_lists_in_the_order_of_the_ids(self, place: Place, tmp_path: Path) -> None:
        for number in range(3):
            place.store.add_image(write_series(build_series(slices=1), tmp_path / f"in{number}"))
        ids = [record.image_id for record in place.store.list_images()]
        assert len(ids) >= 3
        assert ids == sorted(ids)

    def test_fetches_every_instance_as_it_was_stored(self, place: Place, tmp_path: Path) -> None:
        datasets = build_series()
        image_id = place.store.add_image(write_series(datasets, tmp_path / "in"))
        fetched = {
            dataset.SOPInstanceUID: dataset
            for dataset in (pydicom.dcmread(path) for path in place.store.fetch(image_id).iterdir())
        }
        assert fetched.keys() == {dataset.SOPInstanceUID for dataset in datasets}
        for dataset in datasets:
            np.testing.assert_array_equal(fetched[dataset.SOPInstanceUID].pixel_array, dataset.pixel_array)

    def test_names_a_dicomweb_root_that_finds_its_images_or_none(self, place: Place, tmp_path: Path) -> None:
        image_id = place.store.add_image(write_series(build_series(slices=1), tmp_path / "in"))
        access = place.store.dicomweb()
        assert (access is None) == (place.store.name == "folder")
        if access is not None:
            found = requests.get(
                f"{access.url}/series",
                params={"SeriesInstanceUID": image_id},
                auth=(access.user or "", access.password or ""),
                headers={"Accept": "application/dicom+json"},
                timeout=30,
            ).json()
            assert [item["0020000E"]["Value"] for item in found] == [[image_id]]

    def test_reads_an_image_as_a_volume(self, place: Place, tmp_path: Path) -> None:
        datasets = build_series()
        image_id = place.store.add_image(write_series(datasets, tmp_path / "in"))
        volume, series = read_image(place.store, image_id)
        expected = np.stack([dataset.pixel_array.T for dataset in datasets], axis=-1) - 1024
        np.testing.assert_array_equal(volume.array, expected)
        np.testing.assert_allclose(volume.grid.affine_lps[:3, 3], [-10, 5, 0])
        assert series is not None
        assert series.series_instance_uid == image_id

    def test_refuses_an_unknown_id(self, place: Place) -> None:
        for ask in (place.store.record, place.store.fetch, place.store.remove_image, place.store.fetch_instance):
            with pytest.raises(UnknownImageError):
                ask("1.2.826.0.1.3680043.8.498.999")

    def test_refuses_an_id_that_could_leave_its_folder(self, place: Place) -> None:
        for ask in (place.store.record, place.store.fetch, place.store.remove_image, place.store.fetch_instance):
            for hostile in HOSTILE_IDS:
                with pytest.raises(UnsafeIdError):
                    ask(hostile)

    def test_downloads_once_for_many_who_ask_at_once(self, place: Place, tmp_path: Path) -> None:
        image_id = place.store.add_image(write_series(build_series(), tmp_path / "in"))
        other = place.reopen()
        stores = [place.store, other] * 4
        before = place.downloads()
        with ThreadPoolExecutor(8) as pool:
            paths = set(pool.map(lambda store: store.fetch(image_id), stores))
        other.close()
        assert len(paths) == 1
        assert place.downloads() - before == place.downloads_per_series

    def test_shows_what_somebody_else_added_within_seconds(self, place: Place, tmp_path: Path) -> None:
        place.store.list_images()
        other = place.reopen()
        image_id = other.add_image(write_series(build_series(), tmp_path / "in"))
        other.close()
        deadline = time.monotonic() + VISIBLE_WITHIN_S
        while image_id not in {record.image_id for record in place.store.list_images()}:
            assert time.monotonic() < deadline, "the new image did not show"
            time.sleep(0.1)

    def test_forgets_a_removed_image_or_says_that_it_cannot(self, place: Place, tmp_path: Path) -> None:
        image_id = place.store.add_image(write_series(build_series(), tmp_path / "in"))
        place.store.fetch(image_id)
        if not place.deletes:
            with pytest.raises(PacsError, match="allow deletion"):
                place.store.remove_image(image_id)
            assert place.store.record(image_id)
            return
        place.store.remove_image(image_id)
        assert image_id not in {record.image_id for record in place.store.list_images()}
        with pytest.raises(UnknownImageError):
            place.store.fetch(image_id)

    def test_keeps_an_object_that_is_no_image_and_does_not_list_it(self, place: Place, tmp_path: Path) -> None:
        datasets = build_series()
        place.store.add_image(write_series(datasets, tmp_path / "in"))
        stored = build_other_object(datasets[0])
        before = [record.image_id for record in place.store.list_images()]
        place.store.store_instance(stored)
        place.store.store_instance(stored)
        assert place.store.fetch_instance(stored.SOPInstanceUID) == stored
        assert [record.image_id for record in place.reopen().list_images()] == before
        with pytest.raises(UnknownImageError):
            place.store.record(stored.SeriesInstanceUID)

    def test_knows_which_objects_it_has(self, place: Place, tmp_path: Path) -> None:
        datasets = build_series()
        place.store.add_image(write_series(datasets, tmp_path / "in"))
        stored = build_other_object(datasets[0])
        assert not place.store.has_instance(stored.SOPInstanceUID)
        place.store.store_instance(stored)
        assert place.store.has_instance(stored.SOPInstanceUID)

    def test_finds_results_of_one_modality_of_one_study_and_of_all(self, place: Place, tmp_path: Path) -> None:
        first, second = build_series(), build_series()
        for number, datasets in enumerate((first, second)):
            place.store.add_image(write_series(datasets, tmp_path / f"in{number}"))
        stored = [build_other_object(first[0]), build_other_object(first[0]), build_other_object(second[0])]
        report = build_other_object(first[0], modality="SR")
        for dataset in (*stored, report):
            place.store.store_instance(dataset)
        uids = [str(dataset.SOPInstanceUID) for dataset in stored]
        assert place.store.find_documents("SEG", first[0].StudyInstanceUID) == sorted(uids[:2])
        assert place.store.find_documents("SR", first[0].StudyInstanceUID) == [report.SOPInstanceUID]
        assert set(uids) <= set(place.store.find_documents("SEG"))

    def test_keeps_a_copy_of_what_it_fetched_from_elsewhere(self, place: Place, tmp_path: Path) -> None:
        image_id = place.store.add_image(write_series(build_series(), tmp_path / "in"))
        assert place.store.kept(image_id) is None
        fetched = place.store.fetch(image_id)
        assert place.store.kept(image_id) == (fetched if place.downloads_per_series else None)

    def test_adds_nothing_that_is_not_one_image(self, place: Place, tmp_path: Path) -> None:
        before = place.store.list_images()
        text = tmp_path / "report.dcm"
        text.write_text("not DICOM")
        two = write_series([*build_series(slices=2), *build_series(slices=2)], tmp_path / "two")
        no_image = write_series([build_other_object(build_series(slices=1)[0])], tmp_path / "seg")
        refused: list[tuple[Path, type[CarinaError]]] = [
            (text, DicomError),
            (two, InvalidInputError),
            (no_image, DicomError),
            (tmp_path / "absent", InvalidInputError),
        ]
        for path, error in refused:
            with pytest.raises(error):
                place.store.add_image(path)
        assert place.reopen().list_images() == before

    def test_says_its_state(self, place: Place) -> None:
        status = place.store.status()
        assert status["name"] == place.store.name
        assert status["reachable"] is True
        assert status["images"] == len(place.store.list_images())
