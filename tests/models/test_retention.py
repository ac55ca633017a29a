"""Weights go only where nobody may still need them, and what is known about a version stays."""

from __future__ import annotations

import pytest
import torch

from carina.errors import InvalidInputError, UnknownModelError
from carina.models.loading import load_weights
from carina.models.retention import prune


def add(store, **extra):
    state = {"weight": torch.zeros(2, 3)}
    return store.add("toy_ct", state, fingerprint="f", labels={"liver": 1}, metrics={"liver": {"dice": 0.5}}, **extra)


@pytest.fixture
def six(store):
    """v1 and v3 were served before v5, which started from v4; v2 and v6 never were."""
    for number in range(1, 7):
        add(store, parent="v4" if number == 5 else None)
    for version in ("v1", "v3", "v5"):
        store.promote("toy_ct", version, reason="test")
    return store


def with_weights(store):
    return [version.version for version in store.list("toy_ct") if version.has_weights]


def test_served_reachable_parents_and_the_newest_stay(six):
    found = prune(six, "toy_ct", keep=1, by="test")
    assert found.removed == ("v2",)
    assert found.kept == {
        "v1": "a rollback can reach it",
        "v3": "a rollback can reach it",
        "v4": "parent of the served v5",
        "v5": "served",
        "v6": "one of the newest 1",
    }
    assert with_weights(six) == ["v1", "v3", "v4", "v5", "v6"]


def test_parents_go_only_when_asked_for(six):
    assert prune(six, "toy_ct", keep=0, by="test", parents=True).removed == ("v2", "v4", "v6")
    assert with_weights(six) == ["v1", "v3", "v5"]


def test_everything_but_the_weights_stays_and_the_removal_is_recorded(six):
    before = six.get("toy_ct", "v2")
    size = before.weights_path.stat().st_size
    found = prune(six, "toy_ct", keep=1, by="somebody")
    after = six.get("toy_ct", "v2")
    assert after == before
    assert found.freed_bytes == size
    record = after.pruned()
    assert (record["by"], record["bytes"], record["reason"]) == ("somebody", size, "retention, the newest 1 kept")
    with pytest.raises(UnknownModelError, match=r"taken away on .*\(retention"):
        load_weights(after)
    with pytest.raises(UnknownModelError, match="Choose another version"):
        six.promote("toy_ct", "v2", reason="too late")


def test_a_dry_run_tells_the_same_and_removes_nothing(six):
    told = prune(six, "toy_ct", keep=1, by="test", dry_run=True)
    assert with_weights(six) == [f"v{number}" for number in range(1, 7)]
    assert prune(six, "toy_ct", keep=1, by="test") == told


def test_every_version_a_rollback_leads_to_can_be_loaded_after_pruning(six):
    prune(six, "toy_ct", keep=0, by="test", parents=True)
    for expected in ("v3", "v1"):
        assert load_weights(six.rollback("toy_ct"))
        assert six.served("toy_ct").version == expected


def test_a_second_pruning_finds_nothing(six):
    prune(six, "toy_ct", keep=1, by="test")
    assert prune(six, "toy_ct", keep=1, by="test").removed == ()


def test_a_negative_number_is_refused(six):
    with pytest.raises(InvalidInputError, match="at least 0, got -1"):
        prune(six, "toy_ct", keep=-1, by="test")
