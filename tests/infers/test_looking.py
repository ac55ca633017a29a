"""What a network tells of an image besides its label map."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from carina.errors import InvalidInputError
from carina.infers.looking import embed_plainly, look
from carina.infers.parts import logits_of_parts
from carina.infers.sampling import asking
from carina.networks.factory import build_network, feature_layer
from carina.preprocessing import prepare
from carina.registry import find_tasks
from carina.scoring import find_methods
from carina.task import NetworkSpec

from .builder import noise_volume, task

SPEC = dataclasses.replace(
    task(network=NetworkSpec(name="light_unet", arguments={"channels": (8, 8, 16), "strides": (2, 2)})),
    roi_voxels=(16, 16, 16),
)
DROPPING = dataclasses.replace(
    SPEC, network=NetworkSpec(name="light_unet", arguments={**SPEC.network.arguments, "dropout": 0.3})
)


@pytest.fixture
def prepared():
    return prepare(noise_volume((16, 16, 16)), SPEC)


def network_of(spec):
    torch.manual_seed(0)
    return build_network(spec).eval()


def test_the_embedding_is_the_mean_of_the_deepest_features(prepared, monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    network, caught = network_of(SPEC), []
    layer = feature_layer(network, SPEC)
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: caught.append(output))
    list(logits_of_parts(network, prepared, spec=SPEC, device="cpu"))
    handle.remove()
    features = torch.cat([output.flatten(2) for output in caught], dim=2)[0]
    found = look(network, prepared, spec=SPEC, device="cpu").embedding
    assert found.shape == (16,)
    assert found == pytest.approx(features.mean(dim=1).detach().numpy(), rel=1e-4, abs=1e-6)
    assert not layer._forward_hooks


def test_presence_is_high_where_a_label_is_sure_somewhere(prepared):
    class Sure(torch.nn.Module):
        def forward(self, image):
            scores = torch.zeros(len(image), SPEC.out_channels, *image.shape[2:])
            scores[:, 0] = 12.0
            scores[:, 1, :4, :4, :4] = 30.0
            return scores

    class Declared(torch.nn.Sequential):
        """Has the layer that the task's network declares."""

    network = Declared(Sure())
    network.model = torch.nn.Identity()
    presence = look(network, prepared, spec=SPEC, device="cpu").presence
    first, second, *_ = SPEC.labels.names
    assert presence[first] == pytest.approx(1.0, abs=1e-3)
    assert presence[second] == pytest.approx(0.0, abs=1e-3)


def test_a_network_of_whole_images_gives_its_last_features_and_how_probable_findings_are():
    spec = dataclasses.replace(
        find_tasks().get("cxr_findings"), network=NetworkSpec(name="local_cnn"), matrix_voxels=(64, 96, 1)
    )
    image, network, caught = prepare(noise_volume((40, 50, 1)), spec), network_of(spec), []
    feature_layer(network, spec).register_forward_hook(lambda _layer, _inputs, output: caught.append(output))
    seen = look(network, image, spec=spec, device="cpu")
    expected = network(image.tensor[None, ..., 0])[0].sigmoid()
    assert list(seen.presence) == list(spec.labels.names)
    assert list(seen.presence.values()) == pytest.approx(expected.tolist(), rel=1e-5)
    assert seen.embedding == pytest.approx(caught[0].flatten(2).mean(dim=2)[0].detach().numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("sampling", ["once", "augmented", "members"])
def test_a_score_of_findings_is_the_mean_over_those_that_are_not_surely_absent(sampling):
    """Each finding as two classes, against scipy; one that is absent with more than 99 % does not count."""
    spec = dataclasses.replace(
        find_tasks().get("cxr_findings"), network=NetworkSpec(name="local_cnn"), matrix_voxels=(64, 96, 1)
    )
    image, network, other = prepare(noise_volume((40, 50, 1)), spec), network_of(spec), build_network(spec).eval()
    with torch.no_grad():
        network.scores.bias[0] = -20.0
    with asking(network, sampling, spec=spec, others=[other]) as ask, torch.inference_mode():
        shares = ask(image.tensor[None]).sigmoid().flatten(1).numpy()  # (samples, findings)
    both = np.stack([1 - shares, shares], axis=1)
    mean = both.mean(axis=0)
    doubt = entropy(mean, axis=0) - (0 if sampling == "once" else entropy(both, axis=1).mean(axis=0))
    expected = doubt[mean[0] <= 0.99].mean() / np.log(2)
    method = find_methods().get({"once": "entropy", "augmented": "tta", "members": "committee"}[sampling])
    seen = look(network, image, spec=spec, score=method.score, sampling=sampling, others=[other], device="cpu")
    assert seen.score == pytest.approx(expected, abs=1e-5)
    assert list(seen.presence.values()) == pytest.approx(shares.mean(axis=0).tolist(), rel=1e-4)


def test_an_image_without_a_model_has_features_of_one_length_whatever_its_size():
    lengths = {
        embed_plainly(prepare(noise_volume(shape), SPEC), SPEC).shape for shape in ((16, 16, 16), (30, 7, 5), (9, 9, 1))
    }
    assert len(lengths) == 1


@pytest.mark.parametrize("how", ["dropout", "augmented"])
def test_several_answers_differ_and_are_the_same_every_time(prepared, how):
    network = network_of(DROPPING)
    once, again = (
        torch.cat(
            [part.flatten() for part in logits_of_parts(network, prepared, spec=SPEC, sampling=how, device="cpu")]
        )
        for _ in range(2)
    )
    assert torch.equal(once, again)
    with asking(network, how, spec=DROPPING) as ask, torch.inference_mode():
        answers = ask(torch.randn(1, 1, 16, 16, 16))
    assert len(answers) > 1
    assert not torch.allclose(answers[0], answers[1])
    assert not any(module.training for module in network.modules())


def test_only_dropout_layers_are_switched_on():
    network = network_of(DROPPING)
    with asking(network, "dropout", spec=DROPPING):
        training = {type(module).__name__ for module in network.modules() if module.training}
    assert training == {"Dropout"}


def test_a_network_without_dropout_is_refused_where_dropout_is_wanted(prepared):
    with pytest.raises(InvalidInputError, match="tta"):
        list(logits_of_parts(network_of(SPEC), prepared, spec=SPEC, sampling="dropout", device="cpu"))


def test_every_member_of_a_committee_answers_once(prepared, monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    first, second = network_of(SPEC), build_network(SPEC).eval()
    parts = list(logits_of_parts(first, prepared, spec=SPEC, sampling="members", others=[second], device="cpu"))
    for network, answers in ((first, 0), (second, 1)):
        alone = logits_of_parts(network, prepared, spec=SPEC, device="cpu")
        for part, expected in zip(parts, alone, strict=True):
            assert torch.allclose(part[answers], expected, atol=1e-5)


def test_a_committee_of_one_is_refused(prepared):
    with pytest.raises(InvalidInputError, match="two or more model versions, got one"):
        list(logits_of_parts(network_of(SPEC), prepared, spec=SPEC, sampling="members", device="cpu"))


def test_islands_are_what_lies_outside_the_largest_piece_of_each_structure():
    """Two boxes and a voxel of the first label, one box of the second: 9 of 8 + 27 + 1 + 27 voxels lie apart."""

    class Drawing(torch.nn.Module):
        def forward(self, image):
            scores = torch.zeros(len(image), SPEC.out_channels, *image.shape[2:])
            scores[:, 0] = 1.0
            for box in ((2, 4), (6, 9), (11, 12)):
                scores[:, 1, slice(*box), slice(*box), slice(*box)] = 9.0
            scores[:, 2, 1:4, 8:11, 8:11] = 9.0
            return scores

    class Declared(torch.nn.Sequential):
        """Has the layer that the task's network declares."""

    network = Declared(Drawing())
    network.model = torch.nn.Identity()
    volume = noise_volume((16, 16, 16), affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    for smallest in (0.0, 0.5):  # a rule of the task that takes islands away hides none
        spec = dataclasses.replace(SPEC, smallest_piece=smallest)
        method = find_methods().get("islands")
        seen = look(network, prepare(volume, spec), spec=spec, score=method.score, sampling="pieces", device="cpu")
        assert seen.score == pytest.approx(9 / 63)
        assert seen.presence[SPEC.labels.names[0]] > 0.9


def test_asking_leaves_the_random_numbers_of_others_alone():
    network = network_of(DROPPING)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with asking(network, "augmented", spec=DROPPING) as ask:
        ask(torch.zeros(1, 1, 16, 16, 16))
    assert torch.equal(torch.rand(3), expected)
