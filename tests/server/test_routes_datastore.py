from __future__ import annotations

import hashlib
import io
import json
import zipfile

import nibabel as nib
import numpy as np
import pytest

from carina.geometry import Volume


def loaded(content: bytes, tmp_path) -> nib.Nifti1Image:
    path = tmp_path / "answer.nii.gz"
    path.write_bytes(content)
    return nib.load(path)


def test_a_saved_label_lies_on_the_image_s_grid_with_every_voxel(http, save_label, tmp_path, image_grid):
    saved = save_label()
    assert saved.status_code == 200, saved.text
    assert saved.json()["image"] == "case-a"
    answer = http.get("/datastore/label", params={"label": saved.json()["label"], "tag": "final"})
    label = loaded(answer.content, tmp_path)
    expected = np.zeros(image_grid.shape, np.uint8)
    expected[2:5, 3:5, 1:5] = 5
    expected[8, 8, 4:7] = 9
    assert np.array_equal(np.asarray(label.dataobj), expected)
    assert np.allclose(label.affine, image_grid.affine_ras, atol=1e-5)
    assert 'filename="' in answer.headers["content-disposition"]


def test_a_client_gets_one_label_per_voxel_where_labels_overlap(http, annotations, tmp_path, image_grid):
    names = {"lung_left": 1, "lung_right": 2, "airways": 4}
    array = np.random.default_rng(0).integers(0, 8, image_grid.shape, dtype=np.uint8)
    annotations.submit("case-a", Volume(array, image_grid), names=names, task="cxr_anatomy")
    answer = http.get("/datastore/label", params={"label": "case-a", "tag": "final"})
    highest = np.array([0, 1, 2, 2, 4, 4, 4, 4])
    assert np.array_equal(np.asarray(loaded(answer.content, tmp_path).dataobj), highest[array])


def test_a_label_is_found_by_its_image_too(http, save_label):
    save_label()
    assert http.head("/datastore/label", params={"image": "case-a", "tag": "final"}).status_code == 200
    assert http.head("/datastore/label", params={"image": "case-b", "tag": "final"}).status_code == 404
    info = http.get("/datastore/label/info", params={"label": "case-a", "tag": "final"}).json()
    assert info["labels"] == {"heart": 5, "trachea": 9}
    assert info["origin"] == "manual"
    assert info["task"] == "thorax_ct"


def test_a_correction_of_a_draft_is_semiautomatic_and_names_the_model(http, save_label):
    http.post("/infer/thorax_ct", params={"image": "case-a"})
    label = save_label().json()["label"]
    info = http.get("/datastore/label/info", params={"label": label, "tag": "final"}).json()
    assert (info["origin"], info["model_version"]) == ("semiautomatic", "v7")


def test_the_second_version_knows_the_first_and_both_stay(http, save_label):
    first, second = save_label().json()["label"], save_label().json()["label"]
    versions = http.get("/carina/annotations/case-a").json()
    assert [version["id"] for version in versions] == [first, second]
    assert versions[1]["parent"] == first
    assert versions[1]["voxels_changed"] == 0


def test_status_listing_and_training_pairs_agree(http, save_label):
    label = save_label().json()["label"]
    assert http.get("/datastore/").json()["completed"] == 1
    listing = http.get("/datastore/?output=all").json()["objects"]
    assert set(listing) == {"case-a", "case-b"}
    assert listing["case-a"]["labels"]["final"]["info"]["id"] == label
    assert http.get("/datastore?output=train").json() == [{"image": "case-a", "label": label}]
    assert http.get("/datastore?output=nonsense").status_code == 422


def test_listed_names_stand_in_the_order_slicer_counts_them(http, save_label):
    save_label(tag="original")
    listed = http.get("/datastore/?output=all").json()["objects"]["case-a"]["labels"]["original"]["info"]
    names = list(listed["params"]["label_names"])
    assert {name: place for place, name in enumerate(names, start=1) if "unused" not in name} == {
        "heart": 5,
        "trachea": 9,
    }
    assert len(names) == 9


def test_an_image_with_a_name_no_file_may_have_is_refused_with_what_to_do(http, images):
    with (images / "case-b.nii.gz").open("rb") as file:
        answer = http.put("/datastore/", params={"image": "2: CT / soft"}, files={"file": ("x.nii.gz", file)})
    assert answer.status_code == 400
    assert "Rename the volume" in answer.json()["detail"]


def test_a_removed_label_is_withdrawn_and_the_one_before_counts_again(http, save_label):
    first, second = save_label().json()["label"], save_label().json()["label"]
    assert http.delete("/datastore/label", params={"id": second, "tag": "final"}).status_code == 200
    info = http.get("/datastore/label/info", params={"label": "case-a", "tag": "final"}).json()
    assert info["id"] == first
    assert len(http.get("/carina/annotations/case-a").json()) == 2


def test_an_image_is_added_found_checked_downloaded_and_removed(http, images):
    content = (images / "case-a.nii.gz").read_bytes()
    for address in ("/datastore/?image=new", "/datastore/image?image=newer"):
        assert http.put(address, files={"file": ("x.nii.gz", content)}).status_code == 200
    assert http.put("/datastore/image", files={"file": ("named.nii.gz", content)}).json() == {"image": "named"}
    digest = hashlib.sha256(content).hexdigest()
    good = {"image": "new", "check_sum": f"SHA256:{digest}"}
    assert http.head("/datastore/image", params=good).status_code == 200
    for wrong in ("SHA256:00", "SHA256:é"):
        assert http.head("/datastore/image", params={**good, "check_sum": wrong}).status_code == 404
    loud = http.put("/datastore/image", files={"file": ("LOUD.NII.GZ", content)})
    assert loud.json() == {"image": "LOUD"}
    assert http.get("/datastore/image?image=new").content == content
    assert http.delete("/datastore/image?id=new").status_code == 200
    assert http.head("/datastore/image?image=new").status_code == 404


def test_notes_on_images_and_labels_are_kept(http, save_label):
    label = save_label().json()["label"]
    http.put("/datastore/image/info?image=case-a", data={"info": '{"seen": true}'})
    assert http.get("/datastore/image/info?image=case-a").json()["seen"] is True
    http.put(f"/datastore/label/info?label={label}&tag=final", data={"info": '{"grade": 2}'})
    http.put(f"/datastore/updatelabelinfo?label={label}&tag=final", data={"params": '{"note": "x"}'})
    info = http.get(f"/datastore/label/info?label={label}&tag=final").json()
    assert (info["grade"], info["note"]) == (2, "x")


def test_notes_cannot_fake_a_draft_a_score_or_where_a_label_came_from(http, save_label):
    for note in ("draft:thorax_ct", "score:thorax_ct:entropy", "strategy"):
        answer = http.put("/datastore/image/info?image=case-a", data={"info": json.dumps({note: "x"})})
        assert answer.status_code == 422
    query = {"label": save_label().json()["label"], "tag": "final"}
    answer = http.put("/datastore/label/info", params=query, data={"info": '{"adopted": "x"}'})
    assert answer.status_code == 422


def test_a_note_that_cannot_be_answered_with_is_refused_and_the_image_stays_usable(http):
    answer = http.put("/datastore/image/info?image=case-a", data={"info": '{"note": "\\ud800"}'})
    assert answer.status_code == 422
    assert http.get("/datastore/image/info?image=case-a").status_code == 200


def test_the_dataset_holds_images_with_their_labels(http, save_label, nothing_is_left):
    save_label()
    content = http.get("/datastore/dataset").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    assert names == {"case-a.nii.gz", "labels/final/case-a.nii.gz"}
    nothing_is_left()


def test_the_dataset_has_answers_as_json_and_leaves_out_images_that_are_gone(http, save_label):
    save_label(image="case-b")
    said = {"model": "cxr_findings", "findings": {"edema": True, "mass": None}}
    http.put("/datastore/label?image=case-a", data={"params": json.dumps(said)})
    assert http.delete("/datastore/image?id=case-b").status_code == 200
    with zipfile.ZipFile(io.BytesIO(http.get("/datastore/dataset").content)) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        assert names == {"case-a.nii.gz", "labels/final/case-a.json"}
        assert json.loads(archive.read("labels/final/case-a.json")) == {"findings": said["findings"]}


def test_the_task_s_own_indices_count_when_the_client_sends_its_name(http, save_label, tmp_path, image_grid):
    array = np.zeros(image_grid.shape, np.uint8)
    array[4:6, 4:6, 4:6] = 3
    path = tmp_path / "own.nii.gz"
    nib.save(nib.Nifti1Image(array, image_grid.affine_ras), path)
    saved = save_label(params={"model": "thorax_ct"}, path=path)
    assert saved.status_code == 200, saved.text
    names = http.get(f"/datastore/label/info?label={saved.json()['label']}&tag=final").json()["labels"]
    assert names["heart"] == 3
    assert save_label(params={}, path=path).status_code == 422


def bad_labels(image_grid):
    far = image_grid.affine_ras.copy()
    far[:3, 3] += 5000
    array = np.zeros(image_grid.shape, np.uint8)
    array[2:4, 2:4, 2:4] = 5
    return {"far away": (array, far), "nameless value": (array + (array > 0), image_grid.affine_ras)}


@pytest.mark.parametrize("which", ["far away", "nameless value"])
def test_a_label_that_cannot_be_right_is_refused_and_nothing_is_stored(http, save_label, tmp_path, image_grid, which):
    array, affine = bad_labels(image_grid)[which]
    path = tmp_path / "bad.nii.gz"
    nib.save(nib.Nifti1Image(array, affine), path)
    answer = save_label(path=path)
    assert answer.status_code == 422, answer.text
    assert http.get("/carina/annotations/case-a").json() == []
    assert http.get("/carina/deliveries").json()["pending"] == 0


@pytest.mark.parametrize(
    ("image", "tag", "params", "status"),
    [
        ("../case-a", "final", None, 400),
        ("case-a", "../x", None, 400),
        ("case-a", "a/b", None, 400),
        ("case-z", "final", None, 404),
        ("case-a", "final", {"label_info": [{"name": "hart", "idx": 5}, {"name": "trachea", "idx": 9}]}, 422),
        ("case-a", "final", {"label_info": [{"name": "heart"}, {"idx": 9}]}, 422),
        ("case-a", "final", {"label_info": "heart"}, 422),
        ("case-a", "final", {"model": "nothing"}, 404),
        ("case-a", "final", {"path": "/etc/passwd"}, 400),
    ],
)
def test_bad_ids_tags_and_names_are_refused(http, save_label, image, tag, params, status):
    answer = save_label(image, tag=tag, params=params)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"detail", "error"}
    assert http.get("/datastore/").json()["completed"] == 0


def test_an_unknown_label_is_a_404(http):
    assert http.get("/datastore/label?label=0123&tag=final").status_code == 404
    assert http.get("/datastore/label/info?label=case-a&tag=final").status_code == 404


def test_an_upload_over_the_limit_is_a_413(http, settings):
    content = b"0" * ((settings.upload_limit_mib << 20) + 1)
    announced = http.put("/datastore/image?image=x", files={"file": ("x.nii.gz", content)})
    assert announced.status_code == 413

    def chunks():
        boundary = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.nii.gz"\r\n\r\n'
        yield boundary
        yield content
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    streamed = http.put("/datastore/image?image=x", content=chunks(), headers=headers)
    assert streamed.status_code == 413
    assert http.head("/datastore/image?image=x").status_code == 404


def test_json_bodies_that_are_none_are_refused(http):
    headers = {"content-type": "application/json"}
    answer = http.post("/activelearning/random", content="{broken", headers=headers)
    assert answer.status_code == 422
    assert json.loads(answer.text)["error"] == "InvalidInputError"
