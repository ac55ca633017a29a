"""Findings over the wire: answers as MONAI Label's classifiers give them, and labels as JSON."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from carina.annotations.drafts import remember_draft
from carina.datastores.port import read_image
from carina.errors import InvalidInputError
from carina.jobs.cases import labelled_cases
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import Registry, find_tasks
from carina.server.inference import inference_options
from carina.server.runner import SegmentationRunner
from carina.server.tickets import InferenceRequest
from tests.trainers.findings import SPEC


def tell(http, image="case-a", *, file=None, **params):
    files = {} if file is None else {"label": ("label.json", json.dumps(file).encode())}
    data = {"params": json.dumps({"model": "cxr_findings", **params})}
    return http.put("/datastore/label", params={"image": image, "tag": "final"}, data=data, files=files or None)


def test_info_lists_the_task_with_its_findings(http):
    model = http.get("/info/").json()["models"]["cxr_covid19"]
    assert model["type"] == "classification"
    assert model["labels"] == {"covid19": 1}
    assert model["config"]["roi"] == ["image", "lungs"]


def test_findings_are_versions_like_any_label(http):
    first = tell(http, findings={"edema": True, "mass": False, "nodule": None}, user="reader").json()["label"]
    second = tell(http, file={"findings": {"edema": False}}).json()["label"]

    older, newer = (
        http.get("/datastore/label/info", params={"label": one, "tag": "final"}).json() for one in (first, second)
    )
    assert older["findings"] == {"edema": True, "mass": False}
    assert (older["task"], older["user"], older["labels"]) == ("cxr_findings", "reader", {})
    assert older["unsure"] == ["nodule"]
    assert newer["parent"] == first
    assert http.get("/datastore/label", params={"label": "case-a", "tag": "final"}).json() == {
        "findings": {"edema": False}
    }
    kept = http.get("/datastore/label", params={"label": first, "tag": "final"}).json()
    assert kept == {"findings": {"edema": True, "mass": False, "nodule": None}}


def test_what_the_model_had_said_is_kept_with_the_answer_and_no_client_changes_it(http, services):
    said = [{"idx": 4, "label": "edema", "score": 0.75, "state": "uncertain", "coverage": 0.9, "calibrated": True}]
    measured = [{"name": "cardiothoracic_ratio", "value": 0.5, "task": "cxr_anatomy", "model_version": "v1"}]
    params = {"model_version": "v2", "model_sha256": "ab" * 32, "prediction": said, "measurements": measured}
    remember_draft(services.annotations, "case-a", task="cxr_findings", params=params)
    label = tell(http, findings={"edema": True}).json()["label"]
    remember_draft(services.annotations, "case-a", task="cxr_findings", params={**params, "prediction": []})

    query = {"label": label, "tag": "final"}
    details = http.get("/datastore/label/info", params=query).json()
    assert (details["prediction"], details["model_version"], details["origin"]) == (said, "v2", "semiautomatic")
    assert details["measurements"] == measured
    for note in ("prediction", "measurements"):
        refused = http.put("/datastore/label/info", params=query, data={"info": json.dumps({note: []})})
        assert refused.status_code == 422
    assert http.get("/datastore/label/info", params=query).json()["prediction"] == said


def test_they_are_in_the_audit_trail_and_advance_their_case(http, services):
    label = tell(http, findings={"edema": True}).json()["label"]
    entries = services.annotations.audit.of_image("case-a")
    assert any(entry.annotation_id == label for entry in entries)
    assert services.annotations.cases.get("case-a", "cxr_findings").state == "submitted"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"findings": {"edemma": True}}, "edema"),
        ({"findings": {"edema": "perhaps"}}, "true, false or null"),
        ({"findings": {}}, "At least one finding"),
        ({}, "findings"),
        ({"findings": {"edema": True}, "model": "thorax_ct"}, "which draws"),
    ],
)
def test_what_cannot_be_right_is_refused_and_nothing_is_stored(http, services, sent, said):
    answer = tell(http, **sent)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert services.annotations.versions("case-a") == []


def test_a_label_map_is_no_answer_and_takes_no_answer_s_place(http, services, images):
    """A marked heat sent back as a label would else be the newest version, and hide what a reader has said."""
    tell(http, findings={"edema": True})
    mask = nib.load(images / "case-a.nii.gz")
    marked = nib.Nifti1Image(np.ones(mask.shape, np.uint8), mask.affine).to_bytes()
    params = {"model": "cxr_findings", "label_info": [{"name": "edema", "idx": 1}]}
    answer = http.put(
        "/datastore/label",
        params={"image": "case-a", "tag": "final"},
        data={"params": json.dumps(params)},
        files={"label": ("label.nii", marked)},
    )
    assert answer.status_code == 422
    assert "which tells findings" in answer.json()["detail"]
    assert [dict(version.findings) for version in services.annotations.versions("case-a")] == [{"edema": True}]


def test_a_worker_answers_with_a_prediction_and_marks_on_the_images_grid(tmp_path, images):
    tasks: Registry = Registry("Task")
    tasks.add(SPEC)
    models = ModelStore(tmp_path / "models")
    version = models.add(
        SPEC.name, build_network(SPEC).state_dict(), fingerprint=SPEC.fingerprint(), labels=SPEC.labels.indices
    )
    models.promote(SPEC.name, version.version, reason="test", by="test")
    image = tmp_path / "slice.nii.gz"
    source = nib.load(images / "case-a.nii.gz")
    nib.save(source.slicer[:, :, 3:4], image)
    request = InferenceRequest(
        request_id="r", task=SPEC.name, image=image, output=tmp_path / "out.nii.gz",
        options={"heatmap": "mass", "roi": "image", "device": "cpu"},
    )  # fmt: skip

    result = SegmentationRunner(tasks, models)(request, lambda fraction, phase: None, lambda: False)

    assert [one["label"] for one in result.params["prediction"]] == list(SPEC.labels.names)
    assert all(0 < one["score"] < 1 and one["state"] == "uncertain" for one in result.params["prediction"])
    marks = nib.load(result.path)
    assert marks.shape == nib.load(image).shape
    assert np.allclose(marks.affine, nib.load(image).affine, atol=1e-5)
    json.dumps(result.params)


def test_a_finding_of_a_part_of_an_image_is_kept_with_its_place_and_trains_there(http, services):
    def malignant(answer, **place):
        return tell(http, model="nodule_malignancy", findings={"malignant_nodule": answer}, **place)

    refused = malignant(True)
    assert refused.status_code == 422
    assert "neither a click nor a box" in refused.json()["detail"]
    first = malignant(False, foreground=[[4, 5, 6]]).json()["label"]
    malignant(True, foreground=[[4, 5, 6]])
    malignant(False, box=[0, 4, 2, 6, 3, 5])

    details = http.get("/datastore/label/info", params={"label": first, "tag": "final"}).json()
    assert details["place"] == [4, 5, 6]
    spec = services.tasks.get("nodule_malignancy")
    cases = labelled_cases(services.annotations, services.store, spec)
    assert sorted(case.findings["malignant_nodule"] for case in cases) == [False, True]
    whole, _ = read_image(services.store, "case-a")
    for case in cases:
        size = case.load().array.shape
        wanted = [round(mm / step) for mm, step in zip(spec.crop_mm, whole.grid.spacing_mm, strict=True)]
        assert size == tuple(min(*both) for both in zip(wanted, whole.grid.shape, strict=True))


@pytest.mark.parametrize(
    "place",
    [
        {"foreground": [[12, 5, 6]]},
        {"foreground": [[-1, 0, 0]]},
        {"foreground": [[4, 5, 10**400]]},
        {"box": [20, 24, 0, 2, 0, 2]},
    ],
)
def test_a_finding_of_a_place_off_its_image_is_refused_and_not_stored(http, services, place):
    answer = tell(http, model="nodule_malignancy", findings={"malignant_nodule": True}, **place)
    assert answer.status_code == 422
    assert "must be on its image of (12, 10, 8) voxels" in answer.text or "voxel indices of the image" in answer.text
    assert services.annotations.versions("case-a") == []


def test_what_the_model_said_of_one_place_is_not_said_of_another(http, services):
    said = [{"idx": 0, "label": "malignant_nodule", "score": 0.75, "state": "uncertain"}]
    params = {"model_version": "v2", "model_sha256": "ab" * 32, "prediction": said, "place": (4, 5, 6)}
    remember_draft(services.annotations, "case-a", task="nodule_malignancy", params=params)
    answers = {"model": "nodule_malignancy", "findings": {"malignant_nodule": True}}
    here, there = (tell(http, **answers, foreground=[place]).json()["label"] for place in ([4, 5, 6], [4, 5, 7]))
    kept = [http.get("/datastore/label/info", params={"label": one, "tag": "final"}).json() for one in (here, there)]
    assert [one.get("prediction") for one in kept] == [said, None]
    assert [one["origin"] for one in kept] == ["semiautomatic", "manual"]


def test_what_the_model_said_of_two_places_is_kept_of_both_until_they_are_answered(http, services):
    places = {(4, 5, 6): 0.75, ((0, 4), (2, 6), (3, 5)): 0.25}
    for place, score in places.items():
        said = [{"idx": 0, "label": "malignant_nodule", "score": score, "state": "uncertain"}]
        params = {"model_version": "v2", "model_sha256": "ab" * 32, "prediction": said, "place": place}
        remember_draft(services.annotations, "case-a", task="nodule_malignancy", params=params)
    answers = {"model": "nodule_malignancy", "findings": {"malignant_nodule": True}}
    for prompt, score in zip(({"foreground": [[4, 5, 6]]}, {"box": [0, 4, 2, 6, 3, 5]}), places.values(), strict=True):
        label = tell(http, **answers, **prompt).json()["label"]
        kept = http.get("/datastore/label/info", params={"label": label, "tag": "final"}).json()
        assert kept["prediction"][0]["score"] == score
    assert "draft" not in http.get("/datastore/image/info", params={"image": "case-a"}).text


def test_a_click_or_a_box_of_a_request_is_the_place_to_look_at():
    spec = find_tasks().get("nodule_malignancy")
    assert inference_options({"foreground": [[1, 2, 3], [4, 5, 6]]}, spec)["place"] == (4, 5, 6)
    both = {"foreground": [[1, 2, 3]], "box": [7, 4, 0, 2, 1, 3], "roi": ["image", "lungs"]}
    assert inference_options(both, spec)["place"] == ((4, 7), (0, 2), (1, 3))
    assert "place" not in inference_options({}, spec)
    with pytest.raises(InvalidInputError, match="6 numbers"):
        inference_options({"box": [1, 2, 3]}, spec)
    assert "place" not in inference_options({"place": [1, 2, 3]}, spec)


def test_a_batch_is_refused_where_somebody_must_point(http):
    answer = http.post("/batch/infer/nodule_malignancy", params={"images": "all"})
    assert answer.status_code == 422
    assert "told where to look" in answer.json()["detail"]
