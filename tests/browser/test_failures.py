"""What the panel says and keeps when something is wrong: the series, the server, the PACS."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import RTStructureSetStorage, SecondaryCaptureImageStorage, generate_uid

from carina.datastores.orthanc_server import OrthancServer
from carina.phantoms.chest import make_chest
from carina.phantoms.dicom import SeriesPaths, write_series
from carina.server.running import RunningServer
from carina.settings import Settings

from ..plugins import plugin_path
from .doing import paint, said
from .onscreen import labels_on_screen, same
from .serving import PLUGIN, TASK, plugin_network

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]


@dataclass
class Outages:
    """A server and a PACS that can each be stopped alone; both come back where they were."""

    server: RunningServer
    pacs: OrthancServer
    pacs_settings: Settings
    series: SeriesPaths

    def store(self, content: bytes) -> None:
        """Bring an instance into the PACS."""
        with self.orthanc as orthanc:
            orthanc.post("/instances", content=content).raise_for_status()

    @property
    def orthanc(self) -> httpx.Client:
        """A client of the PACS."""
        return httpx.Client(base_url=self.pacs.url, auth=(self.pacs.user, self.pacs.password), trust_env=False)

    def open(self, page, series_instance_uid: str | None = None):
        """Open the study, with one of its series first; returns the panel."""
        wanted = series_instance_uid or self.series.series_instance_uid
        study = self.series.study_instance_uid
        page.goto(
            f"{self.server.url}/ohif/annotate?StudyInstanceUIDs={study}&initialSeriesInstanceUID={wanted}",
        )
        panel = page.locator("carina-panel")
        panel.locator("#user").fill("browser-test")
        panel.locator("#user").press("Tab")
        return panel


@pytest.fixture(scope="module")
def outages(orthanc_installed: None, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    folder = tmp_path_factory.mktemp("outages")
    settings = Settings(home=folder / "home", port=_free_port())
    (settings.models_dir / TASK).mkdir(parents=True)
    torch.save(plugin_network().weights(), settings.models_dir / TASK / "model.pt")
    phantom = make_chest(7, shape=(64, 64, 24))
    series = write_series(phantom.image, folder / "case", patient_id="OUTAGE-7", seed=7)
    pacs_settings = Settings(home=folder / "pacs")
    pacs = OrthancServer.start(pacs_settings)
    server = RunningServer(
        settings,
        store_url=f"orthanc+{pacs.url}",
        credentials=(pacs.user, pacs.password),
        environment={"PYTHONPATH": plugin_path(folder, PLUGIN)},
    )
    made = Outages(server, pacs, pacs_settings, series)
    try:
        for file in series.files:
            made.store(file.read_bytes())
        server.start()
        yield made
    finally:
        server.stop()
        made.pacs.stop()


def test_a_server_that_dies_during_a_draft_takes_nothing_drawn_with_it(page, outages):
    panel = outages.open(page)
    panel.locator("#task").select_option(TASK)
    panel.locator("#empty").click()
    panel.locator("#segment-1").wait_for()
    paint(page)
    panel.locator("#submit", has_text="Submit changes").wait_for()
    drawn = labels_on_screen(page)
    assert any(slice_.any() for slice_ in drawn.values())

    os.kill(outages.server.pid, signal.SIGSTOP)  # so that it certainly dies before it has answered
    panel.locator("#draft-start").click()
    panel.locator("#cancel").wait_for()
    outages.server.kill()
    said(panel, "The server does not answer")
    assert "what you drew is still here" in panel.locator("#message").inner_text()
    assert same(labels_on_screen(page), drawn)

    outages.server.start()
    panel.locator("#submit").click()
    said(panel, "in the PACS as a SEG")
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")


def test_a_version_submitted_while_the_pacs_is_away_is_kept_and_arrives_later(page, outages):
    panel = outages.open(page)
    panel.locator("#task").select_option(TASK)
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")
    before = _segmentations(outages)

    outages.pacs.stop()
    panel.locator("#submit").click()
    said(panel, "kept on the server, but not in the PACS yet")
    panel.locator("#submit:not(.primary):enabled").wait_for()  # nothing is unsaved, and work can go on

    outages.pacs = OrthancServer.start(outages.pacs_settings)
    httpx.post(f"{outages.server.url}/carina/deliveries/retry", trust_env=False, timeout=30).raise_for_status()
    said(panel, "in the PACS as a SEG")
    assert len(_segmentations(outages) - before) == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [("scout", "a localizer (scout)"), ("capture", "a secondary capture"), ("contours", "a structure set (RTSTRUCT)")],
)
def test_a_series_that_is_no_volume_of_the_patient_is_named_with_the_reason(page, outages, tmp_path, kind, words):
    wrong = _wrong_series(outages.series.files[0], kind)
    wrong.save_as(tmp_path / "wrong.dcm")
    outages.store((tmp_path / "wrong.dcm").read_bytes())
    if kind == "contours":
        panel = outages.open(page)
        page.locator("[data-cy=seriesList-btn]").click()
        page.locator("[data-cy=study-browser-thumbnail-no-image]", has_text="RTSTRUCT").dblclick()
        page.locator("[data-cy=carina-btn]").click()
    else:
        panel = outages.open(page, wrong.SeriesInstanceUID)
    panel.locator("#unfit", has_text=words).wait_for()
    reason = panel.locator("#unfit").inner_text()
    assert f"“wrong {kind}”" in reason
    assert "open an image series" in reason
    assert panel.locator("#draft-start").count() == 0


def _wrong_series(slice_: Path, kind: str) -> pydicom.Dataset:
    """An instance of another kind in the study of a slice."""
    made = pydicom.dcmread(slice_)
    made.SeriesInstanceUID, made.SOPInstanceUID = generate_uid(), generate_uid()
    made.SeriesDescription, made.SeriesNumber = f"wrong {kind}", 9
    if kind == "scout":
        made.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    if kind == "capture":
        made.SOPClassUID, made.Modality = SecondaryCaptureImageStorage, "OT"
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
            delattr(made, name)
    if kind == "contours":
        made.SOPClassUID, made.Modality = RTStructureSetStorage, "RTSTRUCT"
        _outline(made, pydicom.dcmread(slice_))
        del made[0x7FE00010]
        for element in list(made.group_dataset(0x0028)):
            del made[element.tag]
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def _outline(structure_set: pydicom.Dataset, image: pydicom.Dataset) -> None:
    """One square on one slice, as PS3.3 A.19 wants it: OHIF opens no structure set that names no series."""
    shown = _items(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
    series = _items(SeriesInstanceUID=image.SeriesInstanceUID, ContourImageSequence=shown)
    study = _items(
        ReferencedSOPClassUID=image.SOPClassUID,
        ReferencedSOPInstanceUID=image.StudyInstanceUID,
        RTReferencedSeriesSequence=series,
    )
    frame = image.FrameOfReferenceUID
    structure_set.StructureSetLabel = "contours"
    structure_set.ReferencedFrameOfReferenceSequence = _items(
        FrameOfReferenceUID=frame, RTReferencedStudySequence=study
    )
    structure_set.StructureSetROISequence = _items(ROINumber=1, ROIName="square", ReferencedFrameOfReferenceUID=frame)
    corner = np.array(image.ImagePositionPatient, float)
    across, down = 100 * np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    points = np.array([corner, corner + across, corner + across + down, corner + down])
    contour = _items(
        ContourImageSequence=shown,
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
        ContourData=points.round(3).ravel().tolist(),
    )
    structure_set.ROIContourSequence = _items(
        ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=contour
    )
    structure_set.RTROIObservationsSequence = _items(
        ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter=""
    )


def _items(**values: object) -> list[pydicom.Dataset]:
    """A DICOM sequence of one item."""
    item = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def _segmentations(outages: Outages) -> set[str]:
    find = {"Level": "Instance", "Query": {"Modality": "SEG"}}
    with outages.orthanc as orthanc:
        return set(orthanc.post("/tools/find", json=find).raise_for_status().json())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
