from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series


@pytest.fixture
def series(tmp_path) -> list[Path]:
    angle = np.deg2rad(15)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    affine[:3, :3] *= (1.0, 1.0, 2.5)
    array = np.random.default_rng(1).integers(-900, 900, (9, 7, 6)).astype(np.int16)
    write_series(Volume(array, Grid(array.shape, affine)), tmp_path / "dicom", patient_id="P1")
    return sorted(path for path in (tmp_path / "dicom").rglob("*") if path.is_file())


def put(http, parts):
    return http.put("/session/", files=[("files", part) for part in parts])


def zipped(files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files:
            archive.write(file, f"study/{file.name}")
    return buffer.getvalue()


def test_a_zip_of_a_series_becomes_a_session(http, series):
    made = put(http, [("series.zip", zipped(series))])
    assert made.status_code == 200, made.text
    session_id = made.json()["session_id"]
    info = http.get(f"/session/{session_id}").json()
    assert info == made.json()["session_info"]
    back = http.get(f"/session/{session_id}?image=true")
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        uids = {
            str(pydicom.dcmread(archive.open(name)).SOPInstanceUID) for name in archive.namelist() if name[-1] != "/"
        }
    assert uids == {str(pydicom.dcmread(file).SOPInstanceUID) for file in series}


def test_the_files_of_a_series_become_a_session(http, series):
    assert put(http, [(file.name, file.read_bytes()) for file in series]).status_code == 200


def test_a_single_image_file_comes_back_as_it_was(http, images):
    content = (images / "case-a.nii.gz").read_bytes()
    session_id = put(http, [("any name.nii.gz", content)]).json()["session_id"]
    assert http.get(f"/session/{session_id}?image=true").content == content
    assert http.delete(f"/session/{session_id}").status_code == 200
    assert http.get(f"/session/{session_id}").status_code == 404


@pytest.mark.parametrize(
    "name", ["../../../evil.nii.gz", "C:\\\\windows\\\\evil.nii.gz", "a\u202eb.nii.gz", " .nii.gz"]
)
def test_a_hostile_file_name_names_nothing_on_the_server(http, images, settings, name):
    made = put(http, [(name, (images / "case-a.nii.gz").read_bytes())])
    assert made.status_code == 200, made.text
    (folder,) = settings.sessions_dir.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["image.nii.gz", "session.json"]


def test_an_expired_session_is_neither_shown_nor_drafted(http, images):
    with (images / "case-a.nii.gz").open("rb") as file:
        made = http.put("/session/?expiry=1", files=[("files", ("x.nii.gz", file))]).json()
    assert made["session_info"]["expiry"] == 1
    time.sleep(1.1)
    for answer in (
        http.get(f"/session/{made['session_id']}"),
        http.post("/infer/thorax_ct", params={"image": "any", "session_id": made["session_id"]}),
    ):
        assert answer.status_code == 404
        assert "upload it again" in answer.json()["detail"]


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.dcm", b"\0" * (8 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize("case", ["gap", "duplicate", "text", "bomb", "broken zip", "empty", "program", "nothing"])
def test_what_is_no_readable_image_is_refused_and_leaves_nothing(http, series, settings, case):
    contents = [(file.name, file.read_bytes()) for file in series]
    by_position = sorted(contents, key=lambda part: slice_position(part[1]))
    parts = {
        "gap": by_position[:2] + by_position[3:],
        "duplicate": [*contents, ("again.dcm", renumbered(contents[0][1]))],
        "text": [("notes.dcm", b"hello")],
        "bomb": [("bomb.zip", bomb())],
        "broken zip": [("broken.zip", zipped(series)[:-40])],
        "empty": [("x.nii.gz", b"")],
        "program": [("x.exe", b"MZ")],
        "nothing": [],
    }[case]
    answer = put(http, parts)
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["detail"]) > 20
    assert not settings.sessions_dir.exists() or list(settings.sessions_dir.iterdir()) == []


def slice_position(content: bytes) -> float:
    header = pydicom.dcmread(io.BytesIO(content))
    across = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
    return float(np.dot(across, header.ImagePositionPatient))


def renumbered(content: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
