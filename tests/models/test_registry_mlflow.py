"""MLflow's registry mirrors the model store, and can be lost without losing anything."""

from __future__ import annotations

import logging
import shutil

import pytest
import torch

from carina.models.registry_mlflow import ALIAS, MlflowRegistry, follow, mirror, mirror_if_there
from carina.models.retention import prune
from carina.models.tracking import MlflowTracking, open_client

TASK = "toy_ct"
DECISION = {
    "promoted": False, "reason": "worse on liver", "margin": 0.01, "served": "v1", "cases": 2, "patients": 2,
    "measured_on": "holdout",
    "per_label": [
        {"label": "liver", "cases": 2, "candidate": 0.5, "served": 0.6, "difference": -0.1, "interval": [-0.2, 0.0],
         "verdict": "worse", "reason": "fell by 0.100, more than 0.01"},
    ],
}  # fmt: skip


def add(store, **extra):
    state = {"weight": torch.zeros(2)}
    return store.add(
        TASK,
        state,
        fingerprint="f",
        labels={"liver": 1},
        metrics={"liver": {"dice": 0.5}},
        intervals={"liver": {"dice": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 2}}},
        **extra,
    )


def by_version(client):
    return {found.tags["version"]: found for found in client.search_model_versions(f"name = '{TASK}'")}


def served(client):
    return client.get_model_version_by_alias(TASK, ALIAS).tags["version"]


@pytest.mark.slow
def test_versions_alias_removal_and_repair(store, tmp_path, caplog):
    folder = tmp_path / "mlruns"
    mirror_if_there(store, folder, TASK)
    assert not folder.exists()
    add(store)
    store.promote(TASK, "v1", reason="first")
    run = MlflowTracking(folder).start(TASK, name="training", parameters={})
    run.finish(status="FINISHED", tags={"version": "v2", "name": "toy_ct v2"})
    add(store, decision=DECISION, parent="v1")
    mirror(store, folder, TASK)

    client = open_client(folder)
    found = by_version(client)
    assert sorted(found) == ["v1", "v2"]
    assert served(client) == "v1"
    assert found["v2"].tags.items() >= {"gate": "kept back", "parent": "v1", "weights": "there"}.items()
    assert found["v2"].tags["weights_sha256"] == store.get(TASK, "v2").sha256
    assert "| liver | 2 | 0.500 | 0.600 | -0.100 (-0.200 to +0.000) | worse |" in found["v2"].description
    assert "| liver | 0.500 | 0.400 | 0.600 | 2 |" in found["v2"].description
    assert client.get_run(found["v2"].run_id).data.metrics == {"holdout_dice/liver": 0.5}
    assert found["v1"].run_id in (None, "")

    store.promote(TASK, "v2", reason="by hand")
    (again,) = MlflowRegistry(folder).sync(store)
    assert (again.registered, again.served) == ((), "v2")
    assert served(client) == "v2"
    steps = follow(store, folder, every_s=0)
    next(steps)
    store.rollback(TASK)
    next(steps)
    assert served(client) == "v1"

    for _ in range(2):
        add(store)
    prune(store, TASK, keep=1, by="test")
    mirror_if_there(store, folder, TASK)
    assert {name: row.tags["weights"] for name, row in by_version(client).items()} == {
        "v1": "there", "v2": "removed", "v3": "removed", "v4": "there",
    }  # fmt: skip

    elsewhere = tmp_path / "rebuilt"
    MlflowRegistry(elsewhere).sync(store)
    rebuilt = open_client(elsewhere)
    assert {name: row.tags for name, row in by_version(rebuilt).items()} == {
        name: row.tags for name, row in by_version(client).items()
    }
    assert served(rebuilt) == "v1"

    shutil.rmtree(elsewhere)
    elsewhere.write_text("not a folder")
    with caplog.at_level(logging.WARNING, logger="carina"):
        mirror(store, elsewhere, TASK)
    assert "could not mirror the model versions" in caplog.text
