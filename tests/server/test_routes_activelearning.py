from __future__ import annotations

import pytest


@pytest.mark.parametrize("strategy", ["first", "random"])
def test_every_image_is_offered_until_all_are_labelled(http, save_label, strategy):
    for _ in range(2):
        sample = http.post(f"/activelearning/{strategy}/", json={"client_id": "me"}).json()
        assert sample["name"] == f"{sample['id']}.nii.gz"
        assert sample["strategy"][strategy]["client_id"] == "me"
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
