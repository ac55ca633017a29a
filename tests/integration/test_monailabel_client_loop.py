"""The whole loop with the unmodified MONAI Label client, a real Orthanc and a real JPEG 2000 series."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom
import httpx
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch

from carina.datastores.orthanc_program import find_orthanc
from carina.errors import MissingDependencyError
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.server.running import RunningServer
from carina.settings import Settings

from ..plugins import plugin_path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    # The stock client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

TASK = "wholebody_coarse"
PLUGIN = Path(__file__).parent / "plugin"
LABELLED_VOXELS = 739_420
TRAINING = {
    "max_epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 1,
    "patch_voxels": "32,32,16",
    "learning_rate": 1e-6,
    "client_id": "loop-test",
}


@pytest.fixture(scope="module")
def case(test_data) -> Path:
    return test_data / "ct_abdomen_jpeg2000"


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), port=0)


@pytest.fixture(scope="module")
def server(settings, case) -> Iterator[RunningServer]:
    try:
        find_orthanc()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    folder = settings.models_dir / TASK
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    state = build_network(find_tasks().get("wholebody_ct")).state_dict()
    torch.save({"model": state}, folder / "model.pt")
    with RunningServer(settings, environment={"PYTHONPATH": plugin_path(settings.home, PLUGIN)}) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc(server) -> Iterator[httpx.Client]:
    address = server.address
    login = (address.pacs_user, address.pacs_password)
    with httpx.Client(base_url=address.pacs_url, auth=login, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    from monailabel.client import MONAILabelClient

    return MONAILabelClient(server.url, tmpdir=str(tmp_path_factory.mktemp("client")), client_id="loop-test")


def wait_for(what: str, ask, *, timeout_s: float):
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.5)
    return answer


def test_draft_correct_train_and_draft_again(client, orthanc, server, case):
    for file in sorted((case / "dicom").iterdir()):
        assert orthanc.post("/instances", content=file.read_bytes()).status_code == 200
    header = pydicom.dcmread(next((case / "dicom").iterdir()), stop_before_pixels=True)

    info = wait_for("the study", lambda: (i := client.info())["datastore"]["total"] == 1 and i, timeout_s=5)
    assert info["models"][TASK]["type"] == "segmentation"
    assert info["models"][TASK]["labels"]["liver"] == find_tasks().get("wholebody_ct").labels.named("liver").index

    sample = client.next_sample("random", {})
    image_id = sample["id"]
    assert image_id == header.SeriesInstanceUID

    label_file, params = client.infer(TASK, image_id, {})
    assert params["model_version"] == "v1"
    draft = sitk.ReadImage(label_file)
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(case / "dicom")))
    assert draft.GetSize() == series.GetSize()
    assert np.allclose(draft.GetOrigin(), series.GetOrigin(), atol=1e-3)
    assert np.allclose(draft.GetDirection(), series.GetDirection(), atol=1e-5)

    names = json.loads((case / "labels.json").read_text())
    label_info = [{"name": name, "idx": value} for name, value in names.items()]
    saved = client.save_label(image_id, str(case / "labels.nii.gz"), params={"label_info": label_info})
    assert saved["image"] == image_id

    delivered = wait_for("the SEG", lambda: orthanc.post("/tools/find", json=find_seg()).json(), timeout_s=60)
    assert len(delivered) == 1
    seg = highdicom.seg.Segmentation.from_dataset(
        pydicom.dcmread(BytesIO(orthanc.get(f"/instances/{delivered[0]}/file").content))
    )
    check_voxels(seg, names, case, series)
    assert {segment.SegmentAlgorithmType for segment in seg.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert seg.ContentCreatorName == "loop-test^"
    assert client.next_sample("random", {}) == {}
    kept = sitk.ReadImage(client.download_label(saved["label"], "final"))
    assert np.count_nonzero(sitk.GetArrayViewFromImage(kept)) == LABELLED_VOXELS

    job = client.train_start(TASK, dict(TRAINING))
    assert job["status"] in ("SUBMITTED", "RUNNING")
    wait_for("the end of the training", lambda: not client.train_status(check_if_running=True), timeout_s=900)
    done = client.train_status()
    assert done["status"] == "DONE", done
    assert done["id"] == job["id"]
    assert done["result"]["version"] == "v2"
    assert done["result"]["promoted"] is False  # one patient leaves no holdout, so a person has to decide
    promoted = httpx.post(f"{server.url}/carina/models/{TASK}/promote", json={"version": "v2"}, trust_env=False)
    assert promoted.status_code == 200, promoted.text

    _, params = client.infer(TASK, image_id, {})
    assert params["model_version"] == "v2"
    assert client.info()["models"][TASK]["version"] == "v2"


def find_seg() -> dict:
    return {"Level": "Instance", "Query": {"Modality": "SEG"}}


def check_voxels(seg, names: dict[str, int], case: Path, series: sitk.Image) -> None:
    """The SEG, read by highdicom, equals the label file, read by SimpleITK, voxel for voxel on the series' grid."""
    truth = sitk.Resample(
        sitk.ReadImage(str(case / "labels.nii.gz")), series, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    expected = sitk.GetArrayFromImage(truth)
    assert np.count_nonzero(expected) == LABELLED_VOXELS
    assert np.count_nonzero(np.asarray(nib.load(case / "labels.nii.gz").dataobj)) == LABELLED_VOXELS

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(case / "dicom")))
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in reader.GetFileNames()]
    masks = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    seen = {segment.SegmentLabel: segment.SegmentNumber for segment in seg.SegmentSequence}
    present = {name for name, value in names.items() if (expected == value).any()}
    assert present == set(seen)
    for name, number in seen.items():
        assert np.array_equal(masks[..., number - 1] == 1, expected == names[name]), name
