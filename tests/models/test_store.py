"""Versions are immutable and hashed, the pointer moves atomically, and foreign files run no code."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from carina.errors import (
    ConfigurationError,
    ConflictError,
    NoModelError,
    UnknownModelError,
    UnsafeIdError,
)
from carina.models.loading import load_weights
from carina.models.store import ModelStore


def add(store: ModelStore, value: float = 0.0, **extra):
    state = {"weight": torch.full((2, 3), value)}
    return store.add("toy_ct", state, fingerprint="f", labels={"liver": 1}, **extra)


def test_keeps_every_field_and_tensor_of_a_version(store):
    state = {"a": torch.randn(2, 3), "b": torch.arange(4), "c": torch.randn(5).bfloat16()}
    stored = store.add(
        "toy_ct",
        state,
        fingerprint="f1",
        labels={"liver": 1, "spleen": 2},
        metrics={"liver": {"dice": 0.5, "hd95_mm": None}},
        data={"cases": [{"image_id": "1.2.3"}]},
        parent="v7",
        source="imported",
        intervals={"liver": {"dice": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9}}},
        task_spec={"name": "toy_ct"},
        decision={"promoted": False, "reason": "worse"},
    )
    read = store.get("toy_ct", "v1")
    assert read == stored
    assert (read.fingerprint, read.parent, read.source) == ("f1", "v7", "imported")
    assert read.metrics == {"liver": {"dice": 0.5, "hd95_mm": None}}
    assert read.created.endswith("+00:00")
    assert read.intervals["liver"]["dice"]["n"] == 9
    assert read.task_spec == {"name": "toy_ct"}
    assert read.decision() == {"promoted": False, "reason": "worse"}
    assert read.data_sha256 == hashlib.sha256(b'{"cases":[{"image_id":"1.2.3"}]}').hexdigest()
    assert read.code.keys() >= {"source_sha256", "python", "torch", "monai"}
    loaded = load_weights(read)
    assert loaded.keys() == state.keys()
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in state.items()
    )


def test_numbers_versions_in_order_beyond_nine(store):
    assert [add(store, number).version for number in range(11)] == [f"v{number}" for number in range(1, 12)]
    assert [version.version for version in store.list("toy_ct")] == [f"v{number}" for number in range(1, 12)]
    assert store.tasks() == ("toy_ct",)


def test_adding_never_touches_an_earlier_version(store):
    first = add(store, 1.0)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    add(store, 2.0)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


def test_threads_that_add_at_once_get_different_versions(store):
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda value: add(store, value), range(8)))
    assert sorted(version.version for version in versions) == sorted(f"v{number}" for number in range(1, 9))
    values = {float(load_weights(version)["weight"][0, 0]) for version in store.list("toy_ct")}
    assert values == set(range(8))


def _add_in_process(root: str, value: int) -> None:
    add(ModelStore(Path(root)), value)


def test_processes_that_add_at_once_get_different_versions(store):
    spawn = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    workers = [spawn.Process(target=_add_in_process, args=(str(store.root), value)) for value in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [version.version for version in store.list("toy_ct")] == ["v1", "v2", "v3"]


def test_a_failed_write_leaves_nothing_behind(store):
    with pytest.raises(ValueError, match="nan"):
        add(store, metrics={"liver": {"dice": float("nan")}})
    assert store.list("toy_ct") == ()
    assert not list(store.folder("toy_ct").glob(".incoming-*"))


def test_serves_nothing_before_a_promotion(store):
    add(store)
    assert store.served("toy_ct") is None
    assert store.history("toy_ct") == ()


def test_rolls_back_step_by_step_to_what_was_served_before(store):
    for number in range(1, 4):
        add(store, number)
        store.promote("toy_ct", f"v{number}", reason=f"better {number}", by="gate")
    assert store.rollback("toy_ct", reason="worse in practice").version == "v2"
    assert store.served("toy_ct").version == "v2"
    assert store.rollback("toy_ct").version == "v1"
    store.promote("toy_ct", "v3", reason="after all")
    assert store.rollback("toy_ct").version == "v1"
    with pytest.raises(NoModelError, match="two versions"):
        store.rollback("toy_ct")
    changes = [(entry["action"], entry["from"], entry["to"]) for entry in store.history("toy_ct")]
    assert changes == [
        ("promote", None, "v1"),
        ("promote", "v1", "v2"),
        ("promote", "v2", "v3"),
        ("rollback", "v3", "v2"),
        ("rollback", "v2", "v1"),
        ("promote", "v1", "v3"),
        ("rollback", "v3", "v1"),
    ]
    assert store.history("toy_ct")[0]["reason"] == "better 1"
    assert store.history("toy_ct")[0]["by"] == "gate"


def test_promoting_what_is_served_changes_nothing(store):
    add(store)
    store.promote("toy_ct", "v1", reason="first")
    store.promote("toy_ct", "v1", reason="again")
    assert len(store.history("toy_ct")) == 1


def test_a_decision_about_one_version_does_not_replace_another(store):
    for _ in range(3):
        add(store)
    with pytest.raises(ConflictError, match="must replace v1, got nothing"):
        store.promote("toy_ct", "v2", reason="better than v1", over="v1")
    store.promote("toy_ct", "v1", reason="first", over=None)
    store.promote("toy_ct", "v3", reason="by hand")
    with pytest.raises(ConflictError, match="must replace v1, got v3"):
        store.promote("toy_ct", "v2", reason="better than v1", over="v1")
    assert store.served("toy_ct").version == "v3"
    assert store.promote("toy_ct", "v2", reason="better than v3", over="v3").version == "v2"


def test_a_line_torn_by_a_power_cut_costs_only_itself(store):
    add(store)
    add(store)
    store.promote("toy_ct", "v1", reason="first")
    with (store.folder("toy_ct") / "promotions.jsonl").open("a") as stream:
        stream.write('{"when": "20')
    store.promote("toy_ct", "v2", reason="second")
    assert [entry["to"] for entry in store.history("toy_ct")] == ["v1", "v2"]


@pytest.mark.parametrize("version", ["v9", "latest", "../v1", "v01", ""])
def test_an_unknown_version_is_named_with_those_there_are(store, version):
    add(store)
    with pytest.raises(UnknownModelError, match="Available: v1"):
        store.get("toy_ct", version)
    with pytest.raises(UnknownModelError):
        store.promote("toy_ct", version, reason="")


@pytest.mark.parametrize("task", ["../toy", "a/b", "", "a b"])
def test_a_task_name_cannot_leave_the_root(store, task):
    with pytest.raises(UnsafeIdError):
        store.served(task)


def test_a_version_of_an_older_carina_is_read(store):
    """As 0.1.0 wrote it, before intervals, task, code and decision were kept."""
    version = add(store)
    old = {
        "task": "toy_ct", "version": "v1", "sha256": version.sha256, "fingerprint": "f", "labels": {"liver": 1},
        "source": "trained", "created": "2026-01-01T00:00:00+00:00", "carina_version": "0.1.0", "parent": None,
        "metrics": {"liver": {"dice": 0.5}}, "data": {"cases": []},
    }  # fmt: skip
    (version.folder / "model.json").write_text(json.dumps(old))
    read = store.get("toy_ct", "v1")
    assert (read.intervals, read.task_spec, read.data_sha256, read.code) == ({}, {}, None, {})
    assert read.decision() is None
    assert store.promote("toy_ct", "v1", reason="still good") == read


def test_a_damaged_decision_is_a_clear_error(store):
    version = add(store, decision={"promoted": True})
    (version.folder / "decision.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"toy_ct/v1/decision\.json"):
        version.decision()


def test_damaged_metadata_is_a_clear_error(store):
    version = add(store)
    (version.folder / "model.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"toy_ct/v1/model\.json"):
        store.list("toy_ct")


def test_listing_needs_no_torch(store):
    add(store)
    store.promote("toy_ct", "v1", reason="first")
    code = (
        "import sys; from pathlib import Path; from carina.models.store import ModelStore; "
        f"s = ModelStore(Path({str(store.root)!r})); assert s.served('toy_ct') == s.list('toy_ct')[0]; "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_served_file_is_one_json_object(store):
    add(store)
    store.promote("toy_ct", "v1", reason="first")
    content = json.loads((store.folder("toy_ct") / "served.json").read_text())
    assert content["version"] == "v1"
