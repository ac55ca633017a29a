"""Only the weights that were stored are loaded, and only into the task they were made for."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from carina.errors import ConfigurationError, UnknownModelError
from carina.models.loading import load_into, load_weights
from carina.networks.factory import build_network
from carina.structures import label_set


def test_changed_weights_are_not_loaded(store):
    version = store.add("toy_ct", {"weight": torch.ones(2, 3)}, fingerprint="f", labels={"liver": 1})
    content = bytearray(version.weights_path.read_bytes())
    content[-1] ^= 1
    version.weights_path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="SHA-256"):
        load_weights(version)
    version.weights_path.unlink()
    with pytest.raises(UnknownModelError, match="missing"):
        load_weights(version)
    with pytest.raises(UnknownModelError, match="missing"):
        store.promote("toy_ct", "v1", reason="it is the best")


def test_loads_only_into_the_task_it_was_made_for(store, spec):
    network = build_network(spec)
    version = store.add(spec.name, network.state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    other = build_network(spec)
    load_into(other, version, spec=spec)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in network.state_dict().items())
    changed = dataclasses.replace(spec, labels=label_set("liver", "heart"))
    with pytest.raises(ConfigurationError, match="without heart; with spleen"):
        load_into(build_network(changed), version, spec=changed)
