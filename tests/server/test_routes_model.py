from __future__ import annotations

import pytest
import torch
from safetensors.torch import load

from carina.errors import ConfigurationError
from carina.registry import find_tasks
from carina.settings import Settings


@pytest.fixture
def two_versions(services):
    spec = find_tasks().get("thorax_ct")
    for value in (1.0, 2.0):
        state = {"weight": torch.full((2,), value)}
        services.models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    services.models.promote(spec.name, "v1", reason="test")
    return services.models


def test_the_served_weights_can_be_downloaded(http, two_versions):
    answer = http.get("/model/thorax_ct")
    assert torch.equal(load(answer.content)["weight"], torch.full((2,), 1.0))
    info = http.get("/model/info/thorax_ct").json()
    assert info["version"] == "v1"
    assert info["checksum"] == f"SHA256:{two_versions.get('thorax_ct', 'v1').sha256}"


def test_promotion_and_rollback_take_effect_at_once_and_are_in_the_history(http, two_versions):
    assert http.post("/carina/models/thorax_ct/promote", json={"version": "v2"}).status_code == 200
    assert http.get("/info/").json()["models"]["thorax_ct"]["version"] == "v2"
    assert http.post("/carina/models/thorax_ct/rollback").status_code == 200
    answer = http.get("/carina/models/thorax_ct").json()
    assert answer["served"] == "v1"
    assert [version["version"] for version in answer["versions"]] == ["v1", "v2"]
    assert [entry["action"] for entry in answer["history"]] == ["promote", "promote", "rollback"]


def test_what_is_not_there_cannot_be_served(http, two_versions):
    assert http.post("/carina/models/thorax_ct/promote", json={"version": "v9"}).status_code == 404
    assert http.post("/carina/models/thorax_ct/promote", json={"version": "../v1"}).status_code == 404
    assert http.post("/carina/models/thorax_ct/promote", json={}).status_code == 422
    assert http.get("/carina/models/none").status_code == 404
    assert http.get("/model/wholebody_ct").status_code == 409


def test_weights_are_not_changed_over_the_network(http):
    assert http.put("/model/thorax_ct").status_code == 501
    assert http.delete("/model/thorax_ct").status_code == 501


def test_versions_are_listed_with_what_the_gate_said_and_what_a_rollback_reaches(http, two_versions):
    answer = http.get("/carina/models/thorax_ct").json()
    assert (answer["changes_allowed"], answer["reachable"]) == (True, ["v1"])
    assert [version["has_weights"] for version in answer["versions"]] == [True, True]


def test_where_clients_may_not_choose_the_model_they_are_told_how_it_is_done(http, two_versions, monkeypatch):
    monkeypatch.setenv("CARINA_PROMOTION", "no")
    refused = http.post("/carina/models/thorax_ct/promote", json={"version": "v2"})
    assert (refused.status_code, refused.json()["error"]) == (403, "ForbiddenError")
    assert "carina models" in refused.json()["detail"]
    assert http.post("/carina/models/thorax_ct/rollback").status_code == 403
    assert http.get("/carina/models/thorax_ct").json()["changes_allowed"] is False


@pytest.mark.parametrize(
    ("host", "said", "allowed"),
    [("127.0.0.1", None, True), ("::1", None, True), ("0.0.0.0", None, False), ("0.0.0.0", "yes", True)],
)
def test_only_clients_of_this_machine_choose_the_model_unless_told_otherwise(monkeypatch, host, said, allowed):
    monkeypatch.delenv("CARINA_PROMOTION", raising=False)
    if said:
        monkeypatch.setenv("CARINA_PROMOTION", said)
    assert Settings(host=host).promotion_allowed is allowed


def test_a_setting_that_is_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv("CARINA_PROMOTION", "maybe")
    with pytest.raises(ConfigurationError, match="yes or no"):
        _ = Settings().promotion_allowed
