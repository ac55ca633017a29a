from __future__ import annotations

import time

import numpy as np
import pytest

from carina.annotations.looks import KeptLook
from carina.jobs.score import score_key
from carina.strategies import find_strategies


@pytest.mark.parametrize("strategy", find_strategies().names)
def test_every_image_is_offered_until_all_are_labelled(http, save_label, strategy):
    for _ in range(2):
        sample = http.post(f"/activelearning/{strategy}/", json={"client_id": "me"}).json()
        assert sample["name"] == f"{sample['id']}.nii.gz"
        assert sample["strategy"][strategy]["client_id"] == "me"
        assert sample["reason"].endswith(".")
        array = http.get("/datastore/image", params={"image": sample["id"]})
        assert array.status_code == 200
        assert save_label(sample["id"]).status_code == 200
    answer = http.post(f"/activelearning/{strategy}")
    assert (answer.status_code, answer.json()) == (200, {})


def test_the_sample_s_size_and_order_do_not_depend_on_labels_of_another_tag(http, save_label):
    save_label("case-a", tag="original")
    assert http.post("/activelearning/first").json()["id"] == "case-a"
    assert http.post("/activelearning/first", json={"label_tag": "original"}).json()["id"] == "case-b"


@pytest.mark.parametrize(
    ("strategy", "params", "status"),
    [
        ("rendom", {}, 404),
        ("first", {"label_tag": "../x"}, 400),
        ("first", {"image": "case-a"}, 400),
        ("first", [1], 422),
    ],
)
def test_bad_requests_are_refused(http, strategy, params, status):
    assert http.post(f"/activelearning/{strategy}", json=params).status_code == status


def test_the_queue_counts_what_is_left_done_and_held(http, save_label):
    empty = http.get("/carina/queue", params={"user": "anna"}).json()
    assert {key: empty[key] for key in ("total", "left", "with_others", "closed", "mine", "leases")} == {
        "total": 2, "left": 2, "with_others": 0, "closed": 0, "mine": 0, "leases": [],
    }  # fmt: skip
    names = [{"name": "heart", "idx": 5}, {"name": "trachea", "idx": 9}]
    saved = save_label("case-a", params={"label_info": names, "client_id": "anna", "model": "thorax_ct"})
    assert saved.status_code == 200
    http.post("/carina/leases/case-b", json={"user": "bert"})
    anna, bert = (
        http.get("/carina/queue", params={"user": user, "task": "thorax_ct"}).json() for user in ("anna", "bert")
    )
    assert (anna["left"], anna["with_others"], anna["closed"], anna["mine"]) == (0, 1, 1, 1)
    assert (bert["left"], bert["with_others"], bert["mine"]) == (1, 0, 0)
    assert [lease["image_id"] for lease in bert["leases"]] == ["case-b"]
    assert anna["states"]["submitted"] == 1
    assert http.get("/carina/queue", params={"task": "thorax"}).status_code == 404


@pytest.mark.parametrize("strategy", find_strategies().names)
def test_no_strategy_offers_what_somebody_holds_or_skipped(http, services, strategy):
    seen(services, {"case-a": 0.9, "case-b": 0.1})
    http.post("/carina/leases/case-a", json={"user": "bert"})
    assert http.post(f"/activelearning/{strategy}", json={"client_id": "anna"}).json()["id"] == "case-b"
    assert http.post(f"/activelearning/{strategy}", json={"client_id": "carl"}).json() == {}
    assert http.post(f"/activelearning/{strategy}", json={"client_id": "anna"}).json()["id"] == "case-b"


def seen(services, scores, *, method="entropy", version="v1"):
    """Let a model have looked at images, with these scores."""
    for position, (image_id, value) in enumerate(scores.items()):
        look = KeptLook(embedding=np.full(3, position, np.float32), presence={"heart": 1.0})
        services.annotations.looks.put(image_id, look, task="thorax_ct", model_version=version)
        note = {"value": value, "version": version, "at": time.time()}
        services.annotations.update_image_info(image_id, {score_key("thorax_ct", method): note})


def test_what_a_model_found_decides_and_the_reason_says_so(http, services):
    seen(services, {"case-a": 0.2, "case-b": 0.7})
    answer = http.post("/activelearning/uncertainty", json={"client_id": "anna"}).json()
    assert answer["id"] == "case-b"
    assert answer["reason"] == "The model is less sure of it than of 50 % of the pool (entropy 0.70)."


def test_scores_of_an_older_version_do_not_count(http, services):
    seen(services, {"case-a": 0.1, "case-b": 0.9})
    seen(services, {"case-a": 0.1}, version="v2")
    answer = http.post("/activelearning/uncertainty", json={"client_id": "anna"}).json()
    assert answer["id"] == "case-a"


def test_the_draft_that_waits_longest_is_the_oldest(http, services, save_label):
    save_label("case-b", tag="original")
    cases = services.annotations.cases.counts(task=None)
    answer = http.post("/activelearning/oldest", json={"client_id": "anna"}).json()
    assert (answer["id"], cases.get("draft")) == ("case-b", 1)
    assert "waiting since" in answer["reason"]
