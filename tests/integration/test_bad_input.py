"""Bad input against a real server and a real Orthanc: a clear 4xx each time, nothing stored, the server goes on."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pydicom
import pytest

from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series
from carina.server.running import RunningServer
from carina.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass
class Setting:
    """A running server with one good series in its Orthanc."""

    http: httpx.Client
    orthanc: httpx.Client
    home: Path
    image_id: str
    slices: list[bytes]
    grid: Grid

    def counts(self) -> tuple[int, ...]:
        """All that could have been stored."""
        statistics = self.orthanc.get("/statistics").json()
        sessions = self.home / "sessions"
        return (
            statistics["CountInstances"],
            len(list(sessions.iterdir())) if sessions.is_dir() else 0,
            len(list((self.home / "tmp").iterdir())) if (self.home / "tmp").is_dir() else 0,
            len(self.http.get(f"/carina/annotations/{self.image_id}").json()),
            len(self.http.get("/carina/jobs").json()),
            self.http.get("/datastore/").json()["completed"],
        )


@pytest.fixture(scope="module")
def setting(orthanc_installed, tmp_path_factory) -> Iterator[Setting]:
    home = tmp_path_factory.mktemp("home")
    affine = np.diag([-1.5, -1.2, 3.0, 1.0])
    array = np.random.default_rng(3).integers(-900, 900, (12, 10, 8)).astype(np.int16)
    volume = Volume(array, Grid(array.shape, affine))
    write_series(volume, home / "made", patient_id="P1", shuffled=False)
    files = sorted((path for path in (home / "made").rglob("*") if path.is_file()), key=slice_height)
    slices = [path.read_bytes() for path in files]
    with RunningServer(Settings(home=home, port=0, upload_limit_mib=8, unpacked_limit_mib=16)) as server:
        login = (server.address.pacs_user, server.address.pacs_password)
        with (
            httpx.Client(base_url=server.url, trust_env=False, timeout=120) as http,
            httpx.Client(base_url=server.address.pacs_url, auth=login, trust_env=False) as orthanc,
        ):
            image_id = http.put("/datastore/image", files={"file": ("good.zip", zipped(slices))}).json()["image"]
            yield Setting(http, orthanc, home, image_id, slices, volume.grid)


@pytest.fixture(autouse=True)
def nothing_is_stored_and_the_server_goes_on(setting):
    before = setting.counts()
    yield
    assert setting.counts() == before
    assert setting.http.get("/info/").status_code == 200


def slice_height(path: Path) -> float:
    return float(pydicom.dcmread(path).ImagePositionPatient[2])


def zipped(contents: list[bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.dcm", content)
    return buffer.getvalue()


def changed(content: bytes, **values) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    for name, value in {"SOPInstanceUID": pydicom.uid.generate_uid(), **values}.items():
        setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def other_series(slices: list[bytes]) -> list[bytes]:
    uid = pydicom.uid.generate_uid()
    return [changed(content, SeriesInstanceUID=uid) for content in slices]


def bad_series(slices: list[bytes], which: str) -> bytes:
    series = other_series(slices)
    if which == "missing slice":
        return zipped(series[:3] + series[4:])
    if which == "duplicate":
        return zipped([*series, changed(series[2])])
    if which == "mixed orientation":
        return zipped([changed(series[0], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), *series[1:]])
    if which == "not DICOM":
        return zipped([b"hello, I am a text" * 20] * 4)
    if which == "zip bomb":
        return zipped([b"\0" * (64 << 20)])
    return zipped(series)[:-50]


BAD_SERIES = ["missing slice", "duplicate", "mixed orientation", "not DICOM", "zip bomb", "broken zip"]


@pytest.mark.parametrize("which", BAD_SERIES)
@pytest.mark.parametrize("route", ["session", "datastore", "infer"])
def test_a_bad_series_is_refused_on_every_way_in(setting, which, route):
    content = bad_series(setting.slices, which)
    if route == "session":
        answer = setting.http.put("/session/", files={"files": ("series.zip", content)})
    elif route == "datastore":
        answer = setting.http.put("/datastore/image", files={"file": ("series.zip", content)})
    else:
        answer = setting.http.post("/infer/thorax_ct", files={"file": ("series.zip", content)})
    assert answer.status_code == 422, answer.text
    assert_is_clear(answer)


def test_a_series_with_a_gap_that_is_in_the_pacs_already_is_refused_when_it_is_used(setting):
    series = other_series(setting.slices)
    instances = [
        setting.orthanc.post("/instances", content=content).json()["ID"] for content in series[:3] + series[4:]
    ]
    try:
        image_id = pydicom.dcmread(io.BytesIO(series[0])).SeriesInstanceUID
        drafted = setting.http.post(f"/infer/thorax_ct?image={image_id}")
        saved = save_label(setting, good_label(setting), image=image_id)
        for answer in (drafted, saved):
            assert answer.status_code == 422, answer.text
            assert_is_clear(answer)
        assert setting.http.get(f"/carina/annotations/{image_id}").json() == []
    finally:
        for instance in instances:
            setting.orthanc.delete(f"/instances/{instance}")


def good_label(setting) -> nib.Nifti1Image:
    array = np.zeros(setting.grid.shape, np.uint8)
    array[3:6, 3:6, 2:5] = 1
    return nib.Nifti1Image(array, setting.grid.affine_ras)


def save_label(setting, label: nib.Nifti1Image, *, image: str | None = None, tag: str = "final", names=None):
    params = {"label_info": [{"name": name, "idx": value} for name, value in (names or {"heart": 1}).items()]}
    return setting.http.put(
        "/datastore/label",
        params={"image": image or setting.image_id, "tag": tag},
        data={"params": json.dumps(params)},
        files={"label": ("label.nii.gz", packed(label))},
    )


def packed(image: nib.Nifti1Image) -> bytes:
    import gzip

    return gzip.compress(image.to_bytes())


def test_a_label_of_another_grid_that_does_not_overlap_is_refused(setting):
    affine = setting.grid.affine_ras.copy()
    affine[:3, 3] += (0, 900, 0)
    answer = save_label(setting, nib.Nifti1Image(np.asarray(good_label(setting).dataobj), affine))
    assert answer.status_code == 422
    assert "overlap" in answer.json()["detail"]


@pytest.mark.parametrize("names", [{"hart": 1}, {"heart": 2}])
def test_an_unknown_label_or_a_value_without_a_name_is_refused(setting, names):
    answer = save_label(setting, good_label(setting), names=names)
    assert answer.status_code == 422
    assert_is_clear(answer)


@pytest.mark.parametrize("value", ["..", "../../etc/passwd", "a/../b", "a\\b", "a b", "%00", "x" * 200])
def test_an_image_id_or_a_tag_that_could_leave_its_folder_is_refused(setting, value):
    answers = [
        save_label(setting, good_label(setting), image=value),
        save_label(setting, good_label(setting), tag=value),
        setting.http.post("/infer/thorax_ct", params={"image": value}),
        setting.http.get("/datastore/image", params={"image": value}),
        setting.http.get("/datastore/label", params={"label": value, "tag": "final"}),
        setting.http.get("/datastore/label", params={"label": setting.image_id, "tag": value}),
        setting.http.delete("/datastore/image", params={"id": value}),
    ]
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert_is_clear(answer)


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("POST", "/infer/thorax_cd?image={image}", 404),
        ("POST", "/train/thorax_cd", 404),
        ("POST", "/activelearning/cleverest", 404),
        ("GET", "/model/thorax_cd", 404),
        ("POST", "/infer/thorax_ct?image=1.2.3", 404),
        ("POST", "/infer/thorax_ct?image={image}", 409),
        ("GET", "/datastore/label?label={image}&tag=final", 404),
        ("GET", "/session/0123", 404),
        ("GET", "/carina/jobs/0123", 404),
    ],
)
def test_what_does_not_exist_is_said_so(setting, method, address, status):
    answer = setting.http.request(method, address.format(image=setting.image_id))
    assert answer.status_code == status, answer.text
    assert_is_clear(answer)


def test_an_upload_over_the_limit_is_refused(setting):
    content = b"\1" * (9 << 20)
    answer = setting.http.put("/datastore/image", files={"file": ("x.nii.gz", content)})
    assert answer.status_code == 413
    assert_is_clear(answer)


def assert_is_clear(answer: httpx.Response) -> None:
    """Words for a person, the error's name, and nothing of the server's insides."""
    body = answer.json()
    assert set(body) == {"detail", "error"}
    assert len(body["detail"].split()) >= 5
    for inside in ("Traceback", "/tmp", "site-packages", ".py"):
        assert inside not in body["detail"]
