from __future__ import annotations

import json

import numpy as np
import pytest

from carina import __version__
from carina.annotations.database import utc_now
from carina.geometry import Grid, Volume
from carina.registry import find_tasks


@pytest.mark.parametrize("address", ["/info", "/info/"])
def test_info_answers_with_and_without_a_slash_and_never_redirects(http, address):
    answer = http.get(address)
    assert answer.status_code == 200
    assert answer.json()["version"] == __version__


def test_info_has_what_slicer_reads(http):
    info = http.get("/info/").json()
    assert set(info) >= {
        "name", "description", "version", "labels", "models", "trainers", "strategies", "scoring", "train_stats",
        "datastore",
    }  # fmt: skip
    assert set(info["models"]) == set(find_tasks().names)
    assert set(info["trainers"]) == {spec.name for spec in find_tasks() if spec.learns}
    model = info["models"]["thorax_ct"]
    assert model["type"] == "segmentation"
    assert model["dimension"] == 3
    assert model["labels"]["lung_left"] == 1
    assert set(info["strategies"]) >= {"first", "random"}
    counts = info["datastore"].pop("cases")
    assert info["datastore"] == {"total": 2, "completed": 0, "label_tags": {"final": 0, "original": 0}}
    assert set(counts.values()) == {0}


def test_info_tells_what_is_waiting_for_the_pacs_and_why(http, services):
    annotation = waiting_delivery(services)
    deliveries = http.get("/info/").json()["deliveries"]
    assert deliveries["pending"] == 1
    assert deliveries["last_error"] == "down"
    assert deliveries["oldest_waiting_s"] > 0
    assert services.annotations.deliveries.get(annotation.id).attempts == 1


def test_a_retry_ends_the_wait_of_what_failed_before(http, services):
    annotation = waiting_delivery(services)
    assert http.post("/carina/deliveries/retry").status_code == 200
    assert services.annotations.deliveries.get(annotation.id).next_try <= utc_now()


def waiting_delivery(services):
    services.outbox.stop()
    grid = Grid((2, 2, 2), np.eye(4))
    annotation = services.annotations.submit("1.2.3", Volume(np.ones((2, 2, 2), np.uint8), grid), names={"heart": 1})
    services.annotations.deliveries.mark_retry(annotation.id, error="down", after_s=3600)
    return annotation


def test_trainer_options_survive_the_way_through_slicers_text_fields(http):
    from carina.jobs.options import parse_options

    spec = find_tasks().get("thorax_ct")
    config = http.get("/info/").json()["trainers"]["thorax_ct"]["config"]
    assert config.pop("start_from") == ["served", "nothing", "auto"]  # a choice, of which Slicer sends one
    edited = {name: str(value) for name, value in config.items()}
    assert parse_options(spec, edited) == spec.trainer


def test_health_and_auth_answer(http):
    assert http.get("/health").json()["status"] == "ok"
    assert http.get("/auth/").json() == {"enabled": False, "client_id": None, "realm": None}


def test_the_login_handshake_answers_as_a_server_without_logins(http):
    form = {"username": "anna", "password": "x", "grant_type": "password"}
    assert http.post("/auth/token", data=form).json() == {"access_token": None, "token_type": None}
    assert http.get("/auth/token/valid").json()["username"] == "anonymous"


def test_the_openapi_description_is_valid_json_and_names_the_routes(http):
    paths = json.loads(http.get("/openapi.json").text)["paths"]
    assert {"/info", "/infer/{model}", "/datastore/label", "/activelearning/{strategy}", "/train/{model}"} <= set(paths)
