"""Weights of torchxrayvision and MedicalNet answer in carina's networks as they do at home."""

from __future__ import annotations

import dataclasses
import sys
import types
import warnings

import pytest
import torch
from torchvision.models import densenet121

from carina.errors import ConflictError, InvalidInputError
from carina.models.loading import load_into
from carina.models.public_weights import import_public
from carina.models.store import ModelStore
from carina.models.weights import load_foreign_state
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.task import NetworkSpec, PublicWeights

SPEC = find_tasks().get("cxr_findings")
VOLUMES = dataclasses.replace(
    SPEC,
    name="toy_volumes",
    dimension=3,
    matrix_voxels=(16, 16, 16),
    network=NetworkSpec(name="resnet", arguments={"block_inplanes": [8, 8, 16, 16]}),
    weights=(
        PublicWeights(
            file_name="resnet_10.pth", source="x", licence="MIT", state_key="state_dict",
            layout="medicalnet", judges=False,
        ),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def published():
    """torchvision's DenseNet121, which torchxrayvision's is but for its first and last layer, with random numbers."""
    torch.manual_seed(0)
    network = densenet121(num_classes=18)
    network.features.conv0 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.features.conv0.weight.data /= 1024
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def put(models, spec, content, **how):
    folder = models.folder(spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / spec.weights[0].file_name, **how)


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


def test_radiographs_get_torchxrayvision_s_answers_but_for_three_pixels(models, published):
    put(models, SPEC, {**published.state_dict(), "op_threshs": torch.zeros(18)})
    version = import_public(models, SPEC)
    network = build_network(SPEC).eval()
    load_into(network, version, spec=SPEC)
    page = torch.zeros(1, 1, 224, 224)
    page[..., 12:-12, 12:-12] = torch.randn(200, 200, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)

    with torch.inference_mode():
        ours = network(page.flip(2, 3).transpose(2, 3).contiguous())
        theirs = published(1024 * page.roll((-3, -3), dims=(2, 3)))

    assert float(theirs.std()) > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    assert models.served(SPEC.name) == version


@pytest.fixture
def published_whole(published, monkeypatch):
    """A network whose class nobody has who reads it, and what is called by reading a file that is not harmless."""

    class DenseNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = torch.nn.Sequential()
            for name, part in published.features.named_children():
                if name in ("conv0", "norm0", "relu0", "pool0", "norm5"):
                    self.features.add_module(name, part)
            self.classifier = published.classifier

    module = types.ModuleType("torchxrayvision.models")
    DenseNet.__module__, DenseNet.__qualname__ = module.__name__, "DenseNet"
    module.DenseNet = DenseNet
    monkeypatch.setitem(sys.modules, "torchxrayvision", types.ModuleType("torchxrayvision"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return DenseNet()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_network_pickled_as_a_whole_gives_its_tensors_without_its_classes(tmp_path, published_whole, zipped):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch: a class made in a test has no source to keep
        torch.save(published_whole, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    for name in ("torchxrayvision", "torchxrayvision.models"):
        del sys.modules[name]
    state = load_foreign_state(tmp_path / "net.pt", layout="torchxrayvision")
    expected = published_whole.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    with pytest.raises(InvalidInputError, match="nothing but tensors"):
        load_foreign_state(tmp_path / "net.pt")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_pickle_that_would_run_something_is_refused_in_that_layout_too(models, tmp_path, zipped):
    trace = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return type(trace).touch, (trace,)

    put(models, SPEC, {"a": Malicious()}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InvalidInputError, match="nothing but tensors"):
        import_public(models, SPEC)
    assert not trace.exists()


def test_medicalnet_s_volumes_are_turned_and_its_version_is_for_training_alone(models):
    home = build_network(VOLUMES).eval()
    kept = {f"module.{name}": value for name, value in home.state_dict().items() if not name.startswith("fc.")}
    put(models, VOLUMES, {"state_dict": kept})

    assert import_public(models, VOLUMES) is None
    assert models.served(VOLUMES.name) is None
    (version,) = models.list(VOLUMES.name)
    assert version.source == "pretrained"
    with pytest.raises(ConflictError, match="must have learned from labels"):
        models.promote(VOLUMES.name, version.version, reason="test")
    network = build_network(VOLUMES).eval()
    load_into(network, version, spec=VOLUMES)
    network.fc, volume = home.fc, torch.randn(1, 1, 16, 16, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(volume.transpose(2, 4)), home(volume), atol=1e-4, rtol=1e-3)
