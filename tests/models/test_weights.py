"""State dicts on a disk that is full."""

from __future__ import annotations

import pytest
import torch

from carina.errors import StorageError
from carina.models.store import ModelStore
from carina.models.weights import load_state, save_state
from tests.small_disk import room_for


def test_words_and_shared_tensors_are_kept(tmp_path):
    shared = torch.ones(2, 3)
    save_state(tmp_path / "x.safetensors", {"a": shared, "b": shared}, metadata={"format": "4"})

    assert {name: value.tolist() for name, value in load_state(tmp_path / "x.safetensors").items()} == {
        "a": shared.tolist(), "b": shared.tolist(),
    }  # fmt: skip


def test_a_full_disk_is_said_so_and_leaves_no_version(tmp_path):
    store = ModelStore(tmp_path / "models")
    with room_for(4096), pytest.raises(StorageError, match=r"weights\.safetensors must be written whole"):
        store.add("toy_ct", {"weight": torch.zeros(100, 100)}, fingerprint="f", labels={"liver": 1})

    assert store.list("toy_ct") == ()
    assert not list(store.folder("toy_ct").glob(".incoming-*"))
