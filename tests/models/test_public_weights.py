"""Public weights are taken up once, hashed, without running anything in them; what is missing is said."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch

from carina.errors import ConfigurationError, InvalidInputError
from carina.models.files import sha256_of
from carina.models.loading import load_weights
from carina.models.public_weights import announced, import_public, import_weights, restriction, weights_of
from carina.networks.factory import build_network
from carina.structures import label_set


def add(store):
    return store.add("toy_ct", {"weight": torch.zeros(2)}, fingerprint="f", labels={"liver": 1})


def put(store, spec, content, name="model.pt"):
    store.folder(spec.name).mkdir(parents=True, exist_ok=True)
    path = store.folder(spec.name) / name
    torch.save(content, path)
    return path


def test_public_weights_are_taken_up_once_and_served(store, spec):
    assert import_public(store, spec) is None
    state = build_network(spec).state_dict()
    put(store, spec, {"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 3})
    version = import_public(store, spec)
    assert (version.version, version.source) == ("v1", "public")
    assert version.data["licence"] == "CC0-1.0"
    assert store.served(spec.name) == version
    loaded = load_weights(version)
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert import_public(store, spec) == version
    assert len(store.list(spec.name)) == 1


def test_public_weights_may_be_the_bare_state_dict(store, spec):
    put(store, spec, build_network(spec).state_dict())
    assert import_public(store, spec).version == "v1"


def test_public_weights_do_not_replace_what_is_served(store, spec):
    add(store)
    store.promote(spec.name, "v1", reason="first")
    put(store, spec, build_network(spec).state_dict())
    assert import_public(store, spec).version == "v2"
    assert store.served(spec.name).version == "v1"


def test_public_weights_that_do_not_fit_are_refused_with_the_first_differences(store, spec):
    larger = dataclasses.replace(spec, labels=label_set("liver", "spleen", "heart"))
    put(store, spec, build_network(larger).state_dict())
    with pytest.raises(ConfigurationError, match=r"conv_final\.2\.conv\.bias: \(4,\) instead of \(3,\)"):
        import_public(store, spec)
    assert store.list(spec.name) == ()


def test_public_weights_that_are_a_malicious_pickle_run_no_code(store, spec, tmp_path):
    trace = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return Path.touch, (trace,)

    path = put(store, spec, {"model": Malicious()})
    with pytest.raises(InvalidInputError, match="nothing but tensors"):
        import_public(store, spec)
    path.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InvalidInputError):
        import_public(store, spec)
    assert not trace.exists()
    assert store.list(spec.name) == ()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken", b"root:x:0:0:root:/root:/bin/bash\n"])
def test_public_weights_that_are_damaged_are_refused(store, spec, content):
    store.folder(spec.name).mkdir(parents=True)
    (store.folder(spec.name) / "model.pt").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"model\.pt"):
        import_public(store, spec)


def test_public_weights_of_another_hash_than_announced_are_refused(store, spec):
    put(store, spec, build_network(spec).state_dict())
    announced = dataclasses.replace(spec, weights=(dataclasses.replace(spec.weights[0], sha256="0" * 64),))
    with pytest.raises(InvalidInputError, match="must have the SHA-256 0000"):
        import_public(store, announced)


def test_the_manifest_says_what_is_missing_unchecked_verified_or_damaged(store, spec):
    assert [(entry.state, entry.version) for entry in weights_of(store, spec)] == [("missing", None)]
    path = put(store, spec, build_network(spec).state_dict())
    (unchecked,) = weights_of(store, spec)
    assert (unchecked.state, unchecked.sha256, unchecked.path) == ("unchecked", sha256_of(path), path)
    hashed = dataclasses.replace(spec, weights=(dataclasses.replace(spec.weights[0], sha256=sha256_of(path)),))
    version = import_public(store, hashed)
    assert [(entry.state, entry.version) for entry in weights_of(store, hashed)] == [("verified", version.version)]
    path.write_bytes(b"another file")
    assert [entry.state for entry in weights_of(store, hashed)] == ["damaged"]


def test_a_file_is_recognised_by_its_hash_before_its_name(store, spec, tmp_path):
    path = put(store, spec, build_network(spec).state_dict())
    other = dataclasses.replace(spec.weights[0], file_name="other.pt", sha256=sha256_of(path))
    both = dataclasses.replace(spec, weights=(spec.weights[0], other))
    assert announced(both, path).file_name == "other.pt"
    assert announced(spec, path).file_name == "model.pt"
    elsewhere = tmp_path / "mine.pt"
    elsewhere.write_bytes(b"x")
    assert announced(spec, elsewhere) is None


def test_a_file_that_is_not_there_is_an_error(store, spec, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'gone\.pt' must be readable"):
        import_weights(store, spec, tmp_path / "gone.pt")


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("Apache-2.0", ""),
        ("CC-BY-4.0", ""),
        ("CC-BY-NC-4.0", "No commercial use"),
        ("CC-BY-NC-SA-4.0", "No commercial use"),
        ("CC-BY-SA-4.0", "same licence"),
        ("Non-commercial research licence", "No commercial use"),
        ("For research use only", "research only"),
        ("GPL-3.0-only", "same licence"),
    ],
)
def test_what_a_licence_forbids_is_said_in_words(licence, words):
    assert words in restriction(licence)
    assert bool(words) == bool(restriction(licence))
