"""A label finds its image without the PACS where that is safe; against a real Orthanc behind a proxy that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from pydicom import dcmread

from carina.datastores.port import ImageStore, open_store
from carina.errors import PacsError, UnknownImageError
from carina.geometry import Grid, reorient_grid
from carina.server.label_target import target_of
from carina.settings import Settings

from ..datastores.builder import build_series, build_slice, write_series
from ..datastores.proxy import Proxy, running_proxy

pytestmark = pytest.mark.integration


@dataclass
class Pacs:
    proxy: Proxy
    store: ImageStore
    image_id: str

    def fail(self) -> None:
        self.proxy.disturb = lambda request: "refuse"


@pytest.fixture(params=["orthanc", "dicomweb"])
def pacs(request, orthanc, tmp_path) -> Iterator[Pacs]:
    with running_proxy(orthanc.url) as proxy:
        url = f"{request.param}+{proxy.url}" + ("/dicom-web" if request.param == "dicomweb" else "")
        settings = Settings(home=tmp_path / "home", pacs_timeout_s=5)
        store = open_store(url, settings=settings, user=orthanc.user, password=orthanc.password)
        image_id = store.add_image(write_series(build_series(patient_id="P-9"), tmp_path / "in"))
        yield Pacs(proxy, store, image_id)
        store.close()


@pytest.fixture
def grid(pacs) -> Grid:
    return target_of(pacs.store, pacs.image_id, label=Grid((2, 2, 2), np.eye(4))).grid


def test_the_pacs_is_asked_for_an_image_that_was_never_fetched(pacs, grid):
    assert grid.shape == (10, 12, 5)
    assert pacs.proxy.seen


def test_a_label_on_the_grid_of_a_fetched_series_needs_no_pacs(pacs, grid):
    pacs.fail()
    pacs.proxy.seen.clear()
    target = target_of(pacs.store, pacs.image_id, label=grid)
    assert target.grid.matches(grid)
    assert (target.patient_id, target.is_dicom) == ("P-9", True)
    assert pacs.proxy.seen == []


def test_a_label_whose_axes_run_another_way_needs_no_pacs_either(pacs, grid):
    pacs.fail()
    pacs.proxy.seen.clear()
    turned = reorient_grid(grid, (2, 0, 1), (True, False, True))
    assert not turned.matches(grid)
    assert target_of(pacs.store, pacs.image_id, label=turned).grid.matches(grid)
    assert pacs.proxy.seen == []


def test_a_label_on_another_grid_asks_the_pacs_whether_the_series_has_grown(pacs, grid):
    pacs.proxy.seen.clear()
    other = Grid((10, 12, 6), grid.affine_ras)
    assert target_of(pacs.store, pacs.image_id, label=other).grid.matches(grid)
    assert pacs.proxy.seen


def test_a_series_that_has_grown_is_read_anew_once_it_was_fetched(pacs, grid, tmp_path):
    assert target_of(pacs.store, pacs.image_id, label=grid).grid.shape == (10, 12, 5)  # remembered from now on
    first = dcmread(next(pacs.store.kept(pacs.image_id).iterdir()))
    more = build_slice(study=first.StudyInstanceUID, series=pacs.image_id, number=5, patient_id="P-9")
    pacs.store.add_image(write_series([more], tmp_path / "more"))
    grown = target_of(pacs.store, pacs.image_id, label=Grid((10, 12, 6), grid.affine_ras)).grid
    pacs.fail()
    kept = target_of(pacs.store, pacs.image_id, label=grown).grid
    assert grown.shape == kept.shape == (10, 12, 6)


def test_a_pacs_that_fails_leaves_the_fetched_series_to_go_by(pacs, grid):
    pacs.fail()
    other = Grid((10, 12, 6), grid.affine_ras)
    assert target_of(pacs.store, pacs.image_id, label=other).grid.matches(grid)


def test_without_a_fetched_series_a_failing_pacs_is_an_error(pacs):
    pacs.fail()
    with pytest.raises(PacsError):
        target_of(pacs.store, pacs.image_id, label=Grid((2, 2, 2), np.eye(4)))


def test_an_unknown_image_is_refused(pacs):
    with pytest.raises(UnknownImageError):
        target_of(pacs.store, "1.2.826.0.1.3680043.8.498.998", label=Grid((2, 2, 2), np.eye(4)))
