from __future__ import annotations

import pytest

from carina.models.loading import load_weights
from carina.models.store import ModelStore
from carina.settings import Settings

DECISION = {
    "promoted": False, "reason": "worse on spine", "margin": 0.01, "served": "v1", "cases": 3, "patients": 3,
    "measured_on": "holdout",
    "per_label": [
        {"label": "spine", "cases": 3, "candidate": 0.6, "served": 0.7, "difference": -0.1, "interval": None,
         "verdict": "worse", "reason": "fell by 0.100, more than 0.01"},
    ],
}  # fmt: skip


@pytest.fixture
def two_versions(untrained_model):
    models = ModelStore(Settings().models_dir)
    first = models.get("thorax_ct", untrained_model)
    models.add(
        "thorax_ct",
        load_weights(first),
        fingerprint=first.fingerprint,
        labels=first.labels,
        metrics={"heart": {"dice": 0.8, "hd95_mm": None}, "spine": {"dice": 0.6, "hd95_mm": 2.0}},
        intervals={"heart": {"dice": {"mean": 0.8, "low": 0.7, "high": 0.9, "n": 3}}},
        data={
            "cases": [{"image_id": "1.2.3", "revision": "note-7", "part": "train"}],
            "measured_on": "holdout",
            "start": {"chosen": "v1", "reason": "validation Dice 0.700 from v1 and 0.600 from nothing within 2 epochs"},
        },
        decision=DECISION,
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
    assert shown["decision"] == DECISION
    assert (shown["served"], shown["pruned"], shown["history"]) == (False, None, [])
    text = carina("models", "show", "thorax_ct", "v2").stdout
    for words in (
        "undefined",
        "0.7 to 0.9",
        "kept back: worse on spine",
        "fell by 0.100",
        "note-7",
        "source_sha256",
        "from v1: valid",
    ):
        assert words in text


def test_diff_tells_metrics_and_data(carina, two_versions):
    found = carina("models", "diff", "thorax_ct", "v1", "v2", "--json").json

    assert found["metrics"][0]["after"] == {"mean": 0.8, "low": 0.7, "high": 0.9, "n": 3}
    assert found["added"] == [{"image_id": "1.2.3", "revision": "note-7", "part": "train"}]
    assert (found["same_weights"], found["same_cases"]) == (True, False)
    text = carina("models", "diff", "thorax_ct", "v1", "v2").stdout
    assert "0.800 (0.700 to 0.900)" in text
    assert "not measured on the same cases" in text


def test_prune_says_why_versions_stay_and_removes_only_without_dry_run(carina, two_versions):
    for expected in (True, False):
        options = ("--dry-run",) if expected else ()
        pruned = carina("models", "prune", "thorax_ct", "--keep", 0, *options, "--json").json
        assert (pruned["removed"], pruned["kept"]) == (["v2"], {"v1": "served"})
        assert two_versions.get("thorax_ct", "v2").has_weights is expected
    assert "removed" in carina("models", "list", "thorax_ct").stdout
    ran = carina("models", "promote", "thorax_ct", "v2", "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownModelError")


def test_a_version_goes_to_another_house_and_is_not_served_there(carina, two_versions, tmp_path, monkeypatch):
    file = tmp_path / "thorax.carina"
    exported = carina("models", "export", "thorax_ct", "v2", file, "--json").json
    monkeypatch.setenv("CARINA_HOME", str(tmp_path / "other house"))
    imported = carina("models", "import", file, "--sha256", exported["sha256"], "--json")

    assert imported.exit_code == 0, imported.stderr
    assert (imported.json["version"], imported.json["served"]) == ("v1", False)
    assert imported.json["sha256"] == two_versions.get("thorax_ct", "v2").sha256
    assert ModelStore(Settings().models_dir).served("thorax_ct") is None
    assert "1.2.3" not in str(ModelStore(Settings().models_dir).get("thorax_ct", "v1").to_json()["data"])


def test_a_file_that_is_no_model_is_an_error(carina, tmp_path):
    (tmp_path / "x.carina").write_bytes(b"hello")
    ran = carina("models", "import", tmp_path / "x.carina", "--json")

    assert (ran.exit_code, ran.json["error"]) == (1, "ArchiveError")


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
