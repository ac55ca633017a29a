"""A radiograph in a real browser: what the model tells and where it sees it, the answers, and the reports of them."""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.ndimage import distance_transform_edt

from carina.dicom.series import read_series
from carina.dicom.sr import read_findings
from carina.geometry import resample_label
from carina.jobs.folder import JobFolder
from carina.models.calibration import Calibration, FindingCalibration
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.phantoms.dicom import SeriesPaths
from carina.registry import find_tasks
from tests.dicom.builder import radiograph

from .doing import RENDERED, faults, said, unfold
from .onscreen import labels_on_screen
from .pictures import keep_picture
from .serving import Place, plugin_config, plugin_network
from .where import on_page, show_slice

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

TASK = "spots_dx"
PART_TASK = "spots_ct"
"""Judges a part of a CT."""
_LAST_LAYER = "1.output_block.conv.conv"
"""Of the network of `cxr_anatomy`."""
SPOT = (slice(40, 52), slice(8, 20))
"""Rows and columns of the bright spot: below the middle, and on the left of the picture."""


@pytest.fixture
def dx(place: Place, tmp_path: Path) -> SeriesPaths:
    """A radiograph with a bright spot, in the PACS, and a served model that calls such spots nodules."""
    serve(place, TASK, plugin_network("spots").weights())
    add_anatomy_of_everything(ModelStore(place.settings.models_dir))
    return stored(place, tmp_path, seed=77, spot=True)


def serve(place: Place, task: str, weights: dict) -> None:
    """Serve a plug-in's task of findings with known weights, calibrated."""
    spec = plugin_config(task)
    models = ModelStore(place.settings.models_dir)
    calibration = {name: FindingCalibration(threshold=0.2, cases=40, fitted=True) for name in spec.labels.names}
    version = models.add(
        task,
        weights,
        fingerprint=spec.fingerprint(),
        labels=spec.labels.indices,
        calibration=Calibration(findings=calibration).to_json(),
        source="imported",
    )
    models.promote(task, version.version, reason="the known weights")


def add_anatomy_of_everything(models: ModelStore) -> None:
    """Serve an anatomy to which every pixel is lungs and heart."""
    spec = find_tasks().get("cxr_anatomy")
    state = build_network(spec).state_dict()
    state[f"{_LAST_LAYER}.weight"].zero_()
    state[f"{_LAST_LAYER}.bias"].fill_(5.0)
    version = models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    models.promote(spec.name, version.version, reason="the known weights")


def stored(place: Place, folder: Path, *, seed: int, spot: bool) -> SeriesPaths:
    """A radiograph in the PACS, of a patient of its own."""
    pixels = np.random.default_rng(seed).integers(500, 700, (72, 56))
    if spot:
        pixels[SPOT] += 2500
    made = radiograph(pixels, seed=seed)
    made.PatientOrientation = ["L", "F"]
    made.PatientID = f"DX-{seed}"
    file = folder / f"dx{seed}.dcm"
    made.save_as(file, enforce_file_format=True)
    series = SeriesPaths(
        folder=folder,
        files=(file,),
        patient_id=str(made.PatientID),
        study_instance_uid=str(made.StudyInstanceUID),
        series_instance_uid=str(made.SeriesInstanceUID),
    )
    place.store(series)
    return series


def asked(place: Place, series: SeriesPaths, **params) -> dict:
    """What the server tells of a series, asked without a viewer."""
    query = {"image": series.series_instance_uid, "output": "json"}
    with place.api as api:
        answer = api.post(f"/infer/{TASK}", params=query, data={"params": json.dumps(params)})
    return answer.raise_for_status().json()


def reports(place: Place, series: SeriesPaths, *, count: int) -> list:
    """The SR documents of a study once so many are there, the first version first."""
    find = {"Level": "Instance", "Query": {"Modality": "SR", "StudyInstanceUID": series.study_instance_uid}}
    deadline = time.monotonic() + 120
    with place.orthanc as orthanc:
        while len(found := orthanc.post("/tools/find", json=find).json()) != count:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        content = [orthanc.get(f"/instances/{one}/file").content for one in found]
    documents = [read_findings(pydicom.dcmread(BytesIO(one))) for one in content]
    return sorted(documents, key=lambda document: document.made)


def answered(place: Place, series: SeriesPaths, **findings: bool) -> None:
    """Store a reader's findings without a viewer."""
    asked(place, series)
    params = {"model": TASK, "user": "anna", "findings": findings}
    with place.api as api:
        query = {"image": series.series_instance_uid}
        api.put("/datastore/label", params=query, data={"params": json.dumps(params)}).raise_for_status()


def opened(page, place: Place, series: SeriesPaths, *, task: str):
    """Open a series' study as the reader `browser-test`, with a task of findings chosen; returns the panel."""
    page.goto(place.page_of(series))
    panel = page.locator("carina-panel")
    panel.locator("#user").fill("browser-test")
    panel.locator("#user").press("Tab")
    panel.locator("#findings-task").select_option(task)
    return panel


def test_findings_are_told_shown_answered_reported_version_by_version_and_learnt_from(page, place, dx, axe, tmp_path):
    panel = opened(page, place, dx, task=TASK)
    panel.locator("#findings-ask").click()
    said(panel, "Answer, then submit")

    told = {one["label"]: one for one in asked(place, dx)["prediction"]}
    assert {name: one["state"] for name, one in told.items()} == {"mass": "negative", "nodule": "positive"}
    rows = panel.locator("#findings .name")
    assert rows.all_inner_texts() == ["nodule", "mass"]
    for name, one in told.items():
        assert panel.locator(f"#heat-{name} .score").inner_text() == f"{round(100 * one['score'])} %"
        assert panel.locator(f"#heat-{name} .said").inner_text() == one["state"]
    assert panel.locator("#measured").inner_text() == (
        "Cardiothoracic ratio 1, Transverse diameter of heart 8.4 mm, Transverse inner diameter of thorax 8.4 mm."
    )

    page.wait_for_function(RENDERED)
    panel.locator("#heat-nodule").press("Enter")
    panel.locator("#heat-nodule[aria-pressed=true]").wait_for()
    (marks,) = labels_on_screen(page).values()
    expected = np.zeros((72, 56), np.uint8)
    expected[SPOT] = plugin_config(TASK).labels.indices["nodule"]
    assert 2 * ((marks > 0) & (expected > 0)).sum() / ((marks > 0).sum() + (expected > 0).sum()) > 0.8
    assert panel.locator("#submit").count() == 0
    assert faults(page, axe, "carina-panel") == []

    panel.locator("#findings-agree").click()
    panel.locator("#present-nodule[aria-pressed=true]").wait_for()
    panel.locator("#absent-mass[aria-pressed=true]").wait_for()
    panel.locator("#findings-submit", has_text="Submit findings").press("Enter")
    said(panel, "Findings stored as version 1, and in the PACS as a report (SR)")
    panel.locator("#heat-nodule").click()
    panel.locator("#heat-nodule[aria-pressed=false]").wait_for()

    panel.locator("#absent-nodule").press("Space")
    panel.locator("#unsure-mass").press("Space")
    panel.locator("#findings-submit", has_text="Submit findings").click()
    said(panel, "Findings stored as version 2, and in the PACS as a report (SR)")
    panel.locator("#standing", has_text="submitted").wait_for()

    first, second = reports(place, dx, count=2)
    assert {one.name: one.present for one in first.findings} == {"mass": False, "nodule": True}
    assert {one.name: one.present for one in second.findings} == {"mass": None, "nodule": False}
    assert second.findings[1].probability == pytest.approx(told["nodule"]["score"])
    assert [one.value for one in first.measurements] == [1.0, 8.4, 8.4]
    assert first.predecessor is None
    assert second.predecessor.sop_instance_uid == first.sop_instance_uid
    assert (second.provenance.user, second.provenance.task) == ("browser-test", TASK)
    with place.orthanc as orthanc:
        query = {"Modality": "SEG", "StudyInstanceUID": dx.study_instance_uid}
        assert orthanc.post("/tools/find", json={"Level": "Instance", "Query": query}).json() == []

    panel.locator("#next").click()
    said(panel, "There is no next case")

    page.reload()
    panel.locator("#findings-begin").click()
    panel.locator("#absent-nodule[aria-pressed=true]").wait_for()
    panel.locator("#unsure-mass[aria-pressed=true]").wait_for()

    for seed, spot in ((78, True), (79, False), (80, True), (81, False)):
        answered(place, stored(place, tmp_path, seed=seed, spot=spot), nodule=spot, mass=False)
    unfold(panel, "training")
    panel.locator("#train").click()
    panel.locator("#verdict").wait_for()
    with place.api as api:
        job = api.get("/carina/jobs", params={"kind": "train"}).json()[-1]
        (*_, newest) = api.get(f"/carina/annotations/{dx.series_instance_uid}").json()
    assert (job["request"]["model"], job["state"]) == (TASK, "succeeded"), job["error"]
    assert job["result"]["reason"] in panel.locator("#verdict").inner_text()
    assert newest["id"] in JobFolder(place.settings.jobs_dir / job["id"]).plan()["annotations"]
    curve = panel.locator("carina-training svg").get_attribute("aria-label")
    assert "after 2 epochs" in curve
    assert "Dice" not in curve


def test_a_place_in_a_ct_is_pointed_at_judged_answered_and_comes_back(page, place, axe):
    serve(place, PART_TASK, plugin_network("spots").weights_of_a_part())
    series, phantom = place.series[3], place.phantoms[3]
    grid = read_series(series.folder).volume.grid
    label = resample_label(phantom.label, grid=grid).array
    spine, lung = (deepest(label, phantom.structures[name]) for name in ("spine", "lung_left"))
    panel = opened(page, place, series, task=PART_TASK)
    panel.locator("#places-point").click()
    panel.locator("#places-point[aria-pressed=true]").wait_for()

    for number, (voxel, likely, state) in enumerate(((spine, "100 %", "positive"), (lung, "5 %", "negative")), start=1):
        show_slice(page, series, voxel[2])
        page.mouse.click(*on_page(page, grid.affine_ras, voxel))
        panel.locator(f"#place-{number}[aria-current]").wait_for()
        with page.expect_request(lambda request: f"/infer/{PART_TASK}" in request.url) as asked:
            panel.locator("#findings-ask").click()
        said(panel, "Answer, then submit")
        assert json.loads(re.search(r"\{.*\}", asked.value.post_data)[0])["foreground"] == [list(voxel)]
        assert panel.locator(f"#place-{number} .score").inner_text() == likely
        assert panel.locator(f"#place-{number} .said").inner_text() == state
        page.locator("[data-cy=viewport-pane] svg text", has_text=f"place {number}, {likely}").wait_for()
    assert faults(page, axe, "carina-panel") == []
    keep_picture(page, "ohif-places")

    panel.locator("#findings-agree").click()
    panel.locator("#absent-malignant_nodule[aria-pressed=true]").wait_for()
    panel.locator("#findings-submit").click()
    said(panel, "Findings stored as version 1, and in the PACS as a report (SR)")
    panel.locator("#place-1").click()
    panel.locator("#absent-malignant_nodule[aria-pressed=false]").wait_for()
    panel.locator("#unsure-malignant_nodule").click()
    panel.locator("#findings-submit", has_text="Submit findings").click()
    said(panel, "Findings stored as version 1, and in the PACS as a report (SR)")

    documents = reports(place, series, count=2)
    assert [document.place.on(grid) for document in documents] == [lung, spine]
    assert [[one.present for one in document.findings] for document in documents] == [[False], [None]]
    assert [document.findings[0].state for document in documents] == ["negative", "positive"]
    assert [document.predecessor for document in documents] == [None, None]

    page.reload()
    panel.locator("#places-point").click()
    panel.locator("#place-2 .said", has_text="positive").wait_for()
    panel.locator("#place-1").click()
    page.locator("[data-cy=viewport-pane] svg text", has_text="place 1, 5 %").wait_for()
    panel.locator("#absent-malignant_nodule[aria-pressed=true]").wait_for()
    place.forget(series)


def deepest(label: np.ndarray, value: int) -> tuple[int, int, int]:
    """The voxel that lies deepest inside a structure, in the slice that holds most of it."""
    k = int((label == value).sum(axis=(0, 1)).argmax())
    depth = distance_transform_edt(label[:, :, k] == value)
    i, j = np.unravel_index(depth.argmax(), depth.shape)
    return int(i), int(j), k
