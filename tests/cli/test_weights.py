from __future__ import annotations

import socket

import pytest
import torch

from carina.models.files import sha256_of
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.settings import Settings


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine, or to look one up, is an error."""

    def refuse(*arguments, **options):
        raise AssertionError("carina must not use the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture
def thorax_weights(tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save(build_network(find_tasks().get("thorax_ct")).state_dict(), path)
    return path


def test_list_says_licence_source_hash_and_where_to_put_what_is_missing(carina, no_network):
    listed = carina("weights", "list", "--json")

    assert listed.exit_code == 0, listed.stderr
    assert {"cxr_findings", "nodule_malignancy"} < {entry["task"] for entry in listed.json["weights"]}
    (entry,) = [entry for entry in listed.json["weights"] if entry["task"] == "wholebody_ct"]
    assert (entry["task"], entry["file_name"], entry["licence"]) == ("wholebody_ct", "model.pt", "Apache-2.0")
    assert (entry["state"], entry["version"]) == ("missing", None)
    assert entry["path"] == str(Settings().models_dir / "wholebody_ct" / "model.pt")
    assert "not there" in carina("weights", "list").stdout


def test_verify_hashes_what_is_there(carina, no_network):
    path = Settings().models_dir / "wholebody_ct" / "model.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")

    (entry,) = carina("weights", "verify", "--task", "wholebody_ct", "--json").json["weights"]

    assert (entry["state"], entry["sha256"]) == ("unchecked", sha256_of(path))


def test_import_makes_a_version_that_is_not_served_without_any_network(carina, no_network, thorax_weights):
    imported = carina("weights", "import", thorax_weights, "--task", "thorax_ct", "--json")

    assert imported.exit_code == 0, imported.stderr
    assert imported.json == {"task": "thorax_ct", "version": "v1", "known": False}
    models = ModelStore(Settings().models_dir)
    assert models.served("thorax_ct") is None
    assert models.get("thorax_ct", "v1").weights_path.suffix == ".safetensors"
    assert carina("weights", "import", thorax_weights, "--task", "thorax_ct", "--json").json["version"] == "v1"


def test_weights_of_another_network_are_refused(carina, thorax_weights):
    ran = carina("weights", "import", thorax_weights, "--task", "wholebody_ct", "--json")

    assert (ran.exit_code, ran.json["error"]) == (1, "ConfigurationError")


def test_the_manifest_of_an_unknown_task_is_an_error(carina):
    assert carina("weights", "list", "--task", "thorax", "--json").json["error"] == "UnknownNameError"
