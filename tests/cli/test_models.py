from __future__ import annotations

import pytest

from carina.models.store import ModelStore
from carina.settings import Settings


@pytest.fixture
def two_versions(untrained_model):
    models = ModelStore(Settings().models_dir)
    first = models.get("thorax_ct", untrained_model)
    models.add(
        "thorax_ct",
        models.load_state(first),
        fingerprint=first.fingerprint,
        labels=first.labels,
        metrics={"heart": {"dice": 0.8, "hd95_mm": None}, "spine": {"dice": 0.6, "hd95_mm": 2.0}},
        parent="v1",
    )
    return models


def test_list_shows_versions_and_marks_the_served_one(carina, two_versions):
    listed = carina("models", "list", "thorax_ct", "--json").json

    assert listed["served"] == "v1"
    assert [version["version"] for version in listed["versions"]] == ["v1", "v2"]
    assert "0.700" in carina("models", "list", "thorax_ct").stdout


def test_show_tells_where_a_version_is_from(carina, two_versions):
    shown = carina("models", "show", "thorax_ct", "v2", "--json").json

    assert shown["parent"] == "v1"
    assert shown["metrics"]["heart"] == {"dice": 0.8, "hd95_mm": None}
    assert "undefined" in carina("models", "show", "thorax_ct", "v2").stdout


def test_promote_then_rollback_serves_the_first_again_and_keeps_the_history(carina, two_versions):
    promoted = carina("models", "promote", "thorax_ct", "v2", "--reason", "looked at it", "--json")
    assert promoted.json == {"task": "thorax_ct", "served": "v2"}
    assert two_versions.served("thorax_ct").version == "v2"

    rolled_back = carina("models", "rollback", "thorax_ct", "--json")

    assert rolled_back.json == {"task": "thorax_ct", "served": "v1"}
    history = carina("models", "list", "thorax_ct", "--json").json["history"]
    assert [entry["action"] for entry in history] == ["promote", "promote", "rollback"]
    assert history[1]["reason"] == "looked at it"


def test_nothing_to_roll_back_to_is_an_error(carina, untrained_model):
    ran = carina("models", "rollback", "thorax_ct", "--json")

    assert (ran.exit_code, ran.json["error"]) == (1, "NoModelError")


def test_an_unknown_version_is_an_error(carina, untrained_model):
    ran = carina("models", "promote", "thorax_ct", "v7", "--json")

    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownModelError")
