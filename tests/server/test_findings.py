"""Findings over the wire: answers as MONAI Label's classifiers give them, and labels as JSON."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from carina.annotations.drafts import remember_draft
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import Registry
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
        ({"findings": {"edema": None}}, "At least one finding"),
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
