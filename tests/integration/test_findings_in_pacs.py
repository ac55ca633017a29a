"""What a reader says of a radiograph reaches a real Orthanc as SR, through the outbox, whatever Orthanc does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest

from carina.annotations.drafts import remember_draft
from carina.datastores.orthanc_server import OrthancServer
from carina.dicom.sr import read_findings
from carina.server.services import Services, build_services
from carina.server.submissions import submit_told
from carina.settings import Settings
from tests.dicom.builder import radiograph

pytestmark = pytest.mark.integration

SAID = [
    {"idx": 4, "label": "edema", "score": 0.81, "state": "positive", "coverage": 0.9, "calibrated": True},
    {"idx": 12, "label": "mass", "score": 0.12, "state": "uncertain", "coverage": 0.9, "calibrated": True},
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def pacs(orthanc_installed: None, settings: Settings) -> Iterator[OrthancServer]:
    """An Orthanc of its own, which a test may stop."""
    with OrthancServer.start(settings) as server:
        yield server


@pytest.fixture
def services(pacs: OrthancServer, settings: Settings) -> Iterator[Services]:
    built = build_services(settings, f"orthanc+{pacs.url}", credentials=(pacs.user, pacs.password))
    yield built
    built.close()


@pytest.fixture
def dx(services: Services, tmp_path: Path) -> pydicom.Dataset:
    """A radiograph in the PACS that a model has looked at."""
    made = radiograph(np.random.default_rng(3).integers(0, 4000, (40, 30)), seed=41)
    made.PatientOrientation = ["L", "F"]
    made.save_as(tmp_path / "dx.dcm", enforce_file_format=True)
    image_id = services.store.add_image(tmp_path / "dx.dcm")
    services.store.fetch(image_id)
    params = {"model_version": "v3", "model_sha256": "ab" * 32, "prediction": SAID}
    remember_draft(services.annotations, image_id, task="cxr_findings", params=params)
    return made


def tell(services: Services, image: str, **findings: bool | None) -> str:
    params = {"model": "cxr_findings", "user": "Reader One"}
    return submit_told(services, image=image, findings=findings, params=params, tag="final").id


def reports(pacs: OrthancServer, dx: pydicom.Dataset) -> dict[str, pydicom.Dataset]:
    """The SR documents of the radiograph's study, by SOPInstanceUID."""
    query = {"Level": "Instance", "Query": {"Modality": "SR", "StudyInstanceUID": dx.StudyInstanceUID}}
    with httpx.Client(base_url=pacs.url, auth=(pacs.user, pacs.password), trust_env=False, timeout=60) as orthanc:
        found = orthanc.post("/tools/find", json=query).json()
        content = [orthanc.get(f"/instances/{one}/file").content for one in found]
    documents = [pydicom.dcmread(BytesIO(one)) for one in content]
    return {str(one.SOPInstanceUID): one for one in documents}


def test_each_version_arrives_as_a_report_that_names_the_one_before(services, pacs, dx, tmp_path):
    labels = [
        tell(services, dx.SeriesInstanceUID, edema=True, mass=None),
        tell(services, dx.SeriesInstanceUID, edema=False, mass=None),
    ]
    services.outbox.start()
    assert services.outbox.flush(timeout_s=60)

    found = reports(pacs, dx)
    first, second = (found[services.annotations.deliveries.get(label).sop_instance_uid] for label in labels)
    assert len(found) == 2
    documents = [read_findings(one) for one in (first, second)]
    assert [[(one.name, one.present, one.probability) for one in document.findings] for document in documents] == [
        [("edema", True, 0.81), ("mass", None, 0.12)], [("edema", False, 0.81), ("mass", None, 0.12)],
    ]  # fmt: skip
    assert documents[0].predecessor is None
    assert documents[1].predecessor.sop_instance_uid == first.SOPInstanceUID
    assert documents[1].provenance.model_sha256 == "ab" * 32
    assert documents[1].source_instance_uids == (dx.SOPInstanceUID,)
    assert [record.image_id for record in services.store.list_images()] == [dx.SeriesInstanceUID]
    second.save_as(tmp_path / "second.dcm")
    checked = subprocess.run(["dciodvfy", str(tmp_path / "second.dcm")], capture_output=True, text=True, check=False)
    assert "EnhancedSR" in checked.stderr
    assert "Error" not in checked.stderr


def test_a_report_said_while_the_pacs_is_away_arrives_once_it_is_back(services, pacs, dx, settings):
    services.outbox.start()
    pacs.stop()
    label = tell(services, dx.SeriesInstanceUID, edema=True)
    assert not services.outbox.flush(timeout_s=0.5)
    assert services.annotations.deliveries.get(label).state == "pending"

    with OrthancServer.start(settings) as back:
        assert back.url == pacs.url
        assert services.outbox.flush(timeout_s=60)
        (arrived,) = reports(back, dx)
    assert arrived == services.annotations.deliveries.get(label).sop_instance_uid
