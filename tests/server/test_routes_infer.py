from __future__ import annotations

import cgi
import io
import json
from http.client import HTTPMessage
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from carina.infers.prompts import Strokes


def expected(images: Path) -> np.ndarray:
    return np.asarray(nib.load(images / "case-a.nii.gz").dataobj) > 0


def saved(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def test_the_default_answer_is_a_form_that_the_stock_client_can_parse(http, images, tmp_path):
    answer = http.post("/infer/thorax_ct", params={"image": "case-a"})
    assert answer.status_code == 200, answer.text
    headers = HTTPMessage()
    headers["content-type"] = answer.headers["content-type"]
    headers["content-length"] = answer.headers["content-length"]
    form = cgi.FieldStorage(fp=io.BytesIO(answer.content), environ={"REQUEST_METHOD": "POST"}, headers=headers)
    assert form["params"].filename is None
    params = json.loads(form["params"].value)
    assert params["model_version"] == "v7"
    assert params["label_names"]["lung_left"] == 1
    assert form["image"].filename == f"{params['request_id']}.nii.gz"
    label = nib.load(saved(form["image"].value, tmp_path / "x.nii.gz"))
    assert np.array_equal(np.asarray(label.dataobj) == 1, expected(images))
    assert np.allclose(label.affine, nib.load(images / "case-a.nii.gz").affine, atol=1e-5)


def test_ohif_gets_nrrd_in_the_type_it_asks_for(http, images, tmp_path):
    params = {"result_extension": ".nrrd", "result_dtype": "uint16", "result_compress": False, "largest_cc": True}
    answer = http.post(
        "/infer/thorax_ct", params={"image": "case-a", "output": "image"}, data={"params": json.dumps(params)}
    )
    assert answer.status_code == 200
    image = sitk.ReadImage(str(saved(answer.content, tmp_path / "x.nrrd")))
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert np.array_equal(array == 1, expected(images))


def test_json_only_gives_json(http):
    answer = http.post("/infer/thorax_ct/", params={"image": "case-a", "output": "json"})
    assert answer.json()["model_version"] == "v7"


def test_an_image_sent_along_is_used(http, images):
    with (images / "case-b.nii.gz").open("rb") as file:
        answer = http.post("/infer/thorax_ct", params={"output": "json"}, files={"file": ("x.nii.gz", file)})
    assert answer.status_code == 200


def test_a_session_s_image_is_used(http, images):
    with (images / "case-b.nii.gz").open("rb") as file:
        session = http.put("/session/", files=[("files", ("x.nii.gz", file))]).json()["session_id"]
    answer = http.post("/infer/thorax_ct", params={"image": session, "session_id": session, "output": "json"})
    assert answer.status_code == 200


def test_no_files_are_left_after_good_and_bad_requests(http, nothing_is_left):
    http.post("/infer/thorax_ct", params={"image": "case-a"})
    http.post("/infer/thorax_ct", params={"image": "nobody"})
    http.post("/infer/thorax_ct", files={"file": ("x.nii.gz", b"no image")})
    nothing_is_left()


def test_progress_is_asked_for_under_the_request_s_own_id(http):
    http.post("/infer/thorax_ct", params={"image": "case-a"}, data={"params": '{"request_id": "mine"}'})
    assert http.get("/carina/infer/mine").json()["state"] == "done"
    assert [entry["request_id"] for entry in http.get("/carina/infer").json()] == ["mine"]
    assert http.get("/carina/infer/other").status_code == 404


def test_a_task_without_a_model_is_a_conflict(http):
    answer = http.post("/infer/thorax_ct", params={"image": "case-a"}, data={"params": '{"labels": ["refuse"]}'})
    assert answer.status_code == 409
    assert answer.json()["error"] == "NoModelError"


@pytest.mark.parametrize(
    ("address", "params", "status", "words"),
    [
        ("/infer/thorax_cd?image=case-a", "{}", 404, "Did you mean 'thorax_ct'"),
        ("/infer/thorax_ct?image=case-c", "{}", 404, "not in this folder"),
        ("/infer/thorax_ct?image=../etc/passwd", "{}", 400, "'..'"),
        ("/infer/thorax_ct?session_id=..", "{}", 400, "session id"),
        ("/infer/thorax_ct?session_id=0123", "{}", 404, "session"),
        ("/infer/thorax_ct", "{}", 422, "name an image"),
        ("/infer/thorax_ct?image=case-a&output=gif", "{}", 422, "Output"),
        ("/infer/thorax_ct?image=case-a", "{broken", 422, "JSON"),
        ("/infer/thorax_ct?image=case-a", "[1]", 422, "JSON object"),
        ("/infer/thorax_ct?image=case-a", '{"image": "/etc/passwd"}', 400, "image"),
        ("/infer/thorax_ct?image=case-a", '{"model_filename": "/x.pt"}', 400, "model_filename"),
        ("/infer/thorax_ct?image=case-a", '{"request_id": "../x"}', 400, "request id"),
        ("/infer/thorax_ct?image=case-a", '{"result_extension": ".exe"}', 422, "result_extension"),
        ("/infer/thorax_ct?image=case-a", '{"result_dtype": "object"}', 422, "result_dtype"),
    ],
)
def test_bad_requests_are_refused_in_words(http, address, params, status, words):
    answer = http.post(address, data={"params": params})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def test_a_label_as_input_is_refused_by_a_kind_that_takes_none(http):
    answer = http.post("/infer/thorax_ct?image=case-a", files={"label": ("x.nii.gz", b"1")})
    assert answer.status_code == 422
    assert "Leave it out" in answer.json()["detail"]


def test_strokes_reach_the_worker_as_a_file_of_the_servers_own(http, services, label_file, monkeypatch):
    seen = []
    submit = services.pool.submit
    monkeypatch.setattr(services.pool, "submit", lambda request: (seen.append(request), submit(request))[1])
    params = {
        "label_info": [{"name": "background_scribbles", "id": 5}, {"name": "foreground_scribbles", "id": 9}],
        "selected_label_name": "heart",
        "roi": [9, 1, 0, 8, 0, 7],
        "smoothness": "0.5",
    }
    with label_file.open("rb") as file:
        answer = http.post(
            "/infer/scribbles?image=case-a",
            data={"params": json.dumps(params)},
            files={"label": ("../../strokes.nii.gz", file)},
        )
    assert answer.status_code == 200, answer.text
    (request,) = seen
    assert request.label.name == "label.nii.gz"
    assert request.label.parent == request.output.parent
    assert request.options["strokes"] == Strokes(
        foreground=9, background=5, roi=((1, 9), (0, 8), (0, 7)), selected="heart"
    )
    assert request.options["smoothness"] == 0.5


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"smoothness": "much"}, "'smoothness' must be a number from 0 to 100"),
        ({"connected": "perhaps"}, "must be one of yes, no"),
        ({"roi": [1, 2]}, "'roi' must hold 6 numbers"),
        ({"label_info": 7}, "label_info"),
    ],
)
def test_nonsense_of_a_kind_is_refused_in_words(http, params, words):
    answer = http.post("/infer/scribbles?image=case-a", data={"params": json.dumps(params)})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_label_that_is_no_label_map_is_refused(http):
    answer = http.post("/infer/scribbles?image=case-a", files={"label": ("x.zip", b"PK")})
    assert answer.status_code == 422
    assert "label map" in answer.json()["detail"]
