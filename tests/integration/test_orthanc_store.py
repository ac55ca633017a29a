"""Real JPEG 2000 slices through a real Orthanc, by its own REST interface and by DICOMweb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import ImageStore, open_store, read_image
from carina.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture(params=["orthanc", "dicomweb"])
def store(request: pytest.FixtureRequest, orthanc: OrthancServer, tmp_path: Path) -> ImageStore:
    url = orthanc.url if request.param == "orthanc" else orthanc.dicomweb_url
    return open_store(
        f"{request.param}+{url}", settings=Settings(home=tmp_path), user=orthanc.user, password=orthanc.password
    )


def test_jpeg_2000_slices_come_back_as_they_were_stored(store: ImageStore, test_data: Path) -> None:
    source = test_data / "ct_abdomen_jpeg2000" / "dicom"
    image_id = store.add_image(source)
    fetched = {
        dataset.SOPInstanceUID: dataset
        for dataset in (pydicom.dcmread(path) for path in store.fetch(image_id).iterdir())
    }
    assert len(fetched) == 20
    for path in source.iterdir():
        original = pydicom.dcmread(path)
        copy = fetched[original.SOPInstanceUID]
        assert copy.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert copy.PixelData == original.PixelData


def test_the_volume_equals_what_simpleitk_reads_from_the_files(store: ImageStore, test_data: Path) -> None:
    source = test_data / "ct_abdomen_jpeg2000" / "dicom"
    volume, series = read_image(store, store.add_image(source))
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(source))
    expected = sitk.ReadImage(names)
    array = sitk.GetArrayFromImage(expected).transpose()
    assert volume.grid.shape == (512, 512, 20)
    assert volume.grid.spacing_mm == pytest.approx(expected.GetSpacing())
    corners = [(0, 0, 0), (511, 0, 0), (0, 511, 19)]
    for corner in corners:
        point = expected.TransformIndexToPhysicalPoint(corner)
        index = np.linalg.inv(volume.grid.affine_lps) @ (*point, 1.0)
        i, j, k = (round(float(value)) for value in index[:3])
        np.testing.assert_allclose(index[:3], (i, j, k), atol=1e-3)
        assert volume.array[i, j, k] == array[corner]
    assert series is not None


def test_a_default_retrieve_of_jpeg_2000_is_what_orthanc_refuses(
    orthanc: OrthancServer, store: ImageStore, test_data: Path
) -> None:
    image_id = store.add_image(test_data / "ct_abdomen_jpeg2000" / "dicom")
    study = store.record(image_id).study_instance_uid
    answer = requests.get(
        f"{orthanc.dicomweb_url}/studies/{study}/series/{image_id}",
        headers={"Accept": 'multipart/related; type="application/dicom"'},
        auth=(orthanc.user, orthanc.password),
        timeout=60,
    )
    assert answer.status_code == 500, "the trap is gone: any transfer syntax may no longer be needed"
